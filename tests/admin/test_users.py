"""Accounts in the admin: blocked, never deleted; rights are given by superusers alone."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from qwenedit.users.models import Referral, User
from tests.factories import UserFactory

LIST = "admin:users_user_changelist"


def change(user: User) -> str:
    return reverse("admin:users_user_change", args=[user.pk])


def form_of(client: Client, url: str) -> dict[str, Any]:
    """Return what a browser would send if the form of a page were saved as it is."""
    form = client.get(url).context["adminform"].form
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    management = {
        f"{name}-{count}_FORMS": 0 for name in ("api_keys", "invited") for count in ("TOTAL", "INITIAL")
    }
    return {name: value for name, value in data.items() if value not in (None, False)} | management


def test_a_user_is_blocked_with_a_reason(boss: Client, alice: User, bob: User) -> None:
    selected = {"action": "block", "_selected_action": [alice.pk]}

    question = boss.post(reverse(LIST), selected)
    alice.refresh_from_db()
    assert "Block these users?" in question.text
    assert not alice.is_blocked

    boss.post(reverse(LIST), selected | {"apply": "1", "reason": "spam"})

    alice.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.is_blocked, bob.is_blocked) == (True, False)
    assert "spam" in LogEntry.objects.get(object_id=str(alice.pk)).change_message


def test_nobody_is_blocked_without_a_reason(boss: Client, alice: User) -> None:
    answer = boss.post(
        reverse(LIST), {"action": "block", "_selected_action": [alice.pk], "apply": "1", "reason": ""}
    )

    alice.refresh_from_db()
    assert "This field is required" in answer.text
    assert not alice.is_blocked


def test_a_user_is_unblocked(boss: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_blocked=True)

    boss.post(reverse(LIST), {"action": "unblock", "_selected_action": [alice.pk]})

    alice.refresh_from_db()
    assert not alice.is_blocked


def test_saving_a_user_leaves_the_balance_alone(boss: Client, alice: User) -> None:
    data = form_of(boss, change(alice))

    answer = boss.post(change(alice), data | {"first_name": "Alicia", "balance": 9_999, "points": 9_999})

    alice.refresh_from_db()
    assert answer.status_code == 302
    assert (alice.first_name, alice.balance) == ("Alicia", alice.ledger_entries.get().balance_after)


def test_a_new_user_is_welcomed_with_points(boss: Client) -> None:
    data = {"username": "dave", "usable_password": "false", "password1": "", "password2": ""}

    answer = boss.post(reverse("admin:users_user_add"), data)

    dave = User.objects.get(username="dave")
    assert answer.status_code == 302
    assert dave.ledger_entries.count() == 1
    assert not dave.has_usable_password()


def test_the_balance_leads_to_the_entries_that_make_it(boss: Client, alice: User, bob: User) -> None:
    url = f"{reverse('admin:payments_ledgerentry_changelist')}?user__id__exact={alice.pk}"

    assert url in boss.get(change(alice)).text
    assert {entry.user_id for entry in boss.get(url).context["cl"].result_list} == {alice.pk}


def test_the_page_of_a_user_leads_to_their_jobs_and_to_a_new_key(boss: Client, alice: User) -> None:
    jobs = boss.get(reverse("admin:users_user_jobs_of", args=[alice.pk]), follow=True)
    key = boss.get(reverse("admin:users_user_new_key", args=[alice.pk]), follow=True)

    assert jobs.redirect_chain[0][0] == f"{reverse('admin:jobs_job_changelist')}?user__id__exact={alice.pk}"
    assert jobs.status_code == 200
    assert key.context["adminform"].form.initial["user"] == str(alice.pk)


def test_nobody_is_deleted(boss: Client, alice: User) -> None:
    assert boss.post(reverse("admin:users_user_delete", args=[alice.pk]), {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


def test_staff_can_not_make_staff(staff: Callable[..., Client], alice: User) -> None:
    clerk = staff("view_user", "change_user")
    data = form_of(clerk, change(alice))

    clerk.post(change(alice), data | {"first_name": "Al", "is_staff": "on", "is_superuser": "on"})

    alice.refresh_from_db()
    assert (alice.first_name, alice.is_staff, alice.is_superuser) == ("Al", False, False)


def test_staff_can_not_take_over_the_account_of_other_staff(staff: Callable[..., Client], root: User) -> None:
    clerk = staff("view_user", "change_user")
    colleague = UserFactory.create(is_staff=True)

    for user in (root, colleague):
        password = reverse("admin:auth_user_password_change", args=[user.pk])
        answers = [
            clerk.post(change(user), {"username": "mine"}),
            clerk.post(password, {"password1": "Zx81Spectrum", "password2": "Zx81Spectrum"}),
        ]
        assert [answer.status_code for answer in answers] == [403, 403]
        clerk.post(
            reverse(LIST), {"action": "block", "_selected_action": [user.pk], "apply": "1", "reason": "x"}
        )
        user.refresh_from_db()
        assert not user.is_blocked


def test_a_page_shows_who_invited_whom_and_when_data_was_deleted(
    boss: Client, alice: User, bob: User
) -> None:
    Referral.objects.create(inviter=alice, friend=bob)
    User.objects.filter(pk=bob.pk).update(erased_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))

    assert change(bob) in boss.get(change(alice)).text
    shown = boss.get(change(bob)).text
    assert change(alice) in shown
    assert "Jan. 2, 2026, 3:04 a.m." in shown
