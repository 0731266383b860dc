"""Points given and taken by staff: with a reason, once for each form, and told for each user."""

import logging
from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from payments import audit, ledger
from payments.admin.grants import MOST_USERS
from payments.models import LedgerEntry
from qwenedit.users.models import User
from tests.admin.conftest import browser
from tests.admin.forms import filled, messages
from tests.factories import UserFactory
from tests.threads import at_once, errors

Hire = Callable[..., Client]
USERS = "admin:users_user_changelist"
FORM = "admin:payments_ledgerentry_grant_points"


def balances(*users: User) -> list[int]:
    found = dict(User.objects.values_list("pk", "balance"))
    return [found[user.pk] for user in users]


def form_for(client: Client, *users: User) -> object:
    """Select users in the list and choose the action."""
    selected = {"action": "grant", "_selected_action": [user.pk for user in users]}
    page = client.post(reverse(USERS), selected)
    assert page.status_code == 200
    return page


@pytest.mark.django_db(transaction=True)
def test_one_user_is_given_points_from_their_page(
    boss: Client, root: User, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    button = reverse("admin:users_user_grant_this", args=[alice.pk])
    assert button in boss.get(reverse("admin:users_user_change", args=[alice.pk])).text

    form = boss.get(button, follow=True)
    assert f'<option value="{alice.pk}" selected>alice</option>' in form.text
    assert LedgerEntry.objects.filter(kind="grant").count() == 0
    with caplog.at_level(logging.INFO):
        answer = boss.post(reverse(FORM), filled(form, points="50", reason="won the contest"), follow=True)

    entry = LedgerEntry.objects.get(kind="grant")
    token = form.context["form"]["form_token"].value()
    assert (entry.user, entry.amount, entry.balance_after) == (alice, 50, 110)
    assert (entry.key, entry.description) == (f"grant:{token}:{alice.pk}", "won the contest")
    assert balances(alice) == [110]
    assert messages(answer) == "+50 points: 1 user."
    assert entry.key in answer.text
    assert (
        f"Points granted: payment_id={entry.pk}, user_id={alice.pk}, amount=50 points, "
        "reason=won the contest, new_balance=110"
    ) in caplog.text
    assert f"'staff_id': {root.pk}" in caplog.text
    assert "'balance_before': 60" in caplog.text
    history = LogEntry.objects.filter(user=root)
    assert {(row.object_id, row.change_message) for row in history} == {
        (str(alice.pk), "+50 points: won the contest"),
        (str(entry.pk), "+50 points: won the contest"),
    }


def test_selected_users_are_given_points_once_however_often_the_form_is_sent(
    boss: Client, alice: User, bob: User, charlie: User
) -> None:
    form = filled(form_for(boss, alice, bob), points="25", reason="an outage")

    first = boss.post(reverse(FORM), form, follow=True)
    second = boss.post(reverse(FORM), form, follow=True)

    assert messages(first) == "+25 points: 2 users."
    assert "2 users had this from the form already" in messages(second)
    assert balances(alice, bob, charlie) == [85, 85, 60]
    assert LedgerEntry.objects.filter(kind="grant").count() == 2
    assert LogEntry.objects.count() == 4


def test_points_are_taken_only_from_those_who_have_them(boss: Client, alice: User, bob: User) -> None:
    ledger.charge_job(user_id=alice.pk, job_id=1, points=30, description="Edit")
    form = filled(form_for(boss, alice, bob), points="-40", reason="a mistake")

    answer = boss.post(reverse(FORM), form, follow=True)

    assert balances(alice, bob) == [30, 20]
    assert "−40 points: 1 user." in messages(answer)
    assert f"Not posted for alice (#{alice.pk}): has 30 points." in messages(answer)
    assert LogEntry.objects.filter(object_id=str(alice.pk)).count() == 0
    assert [finding for finding in audit.findings() if finding.broken] == []


def test_those_who_were_short_can_be_served_by_the_same_form_later(
    boss: Client, alice: User, bob: User
) -> None:
    form = filled(form_for(boss, alice, bob), points="-70", reason="a mistake")
    boss.post(reverse(FORM), form)
    ledger.grant(user_id=alice.pk, points=40, key="gift", reason="a gift")

    answer = boss.post(reverse(FORM), form, follow=True)

    assert balances(alice, bob) == [30, 60]
    assert "−70 points: 1 user." in messages(answer)


def test_a_form_that_was_sent_before_does_not_give_another_amount(boss: Client, alice: User) -> None:
    form = filled(form_for(boss, alice), points="10", reason="first")
    boss.post(reverse(FORM), form)

    answer = boss.post(reverse(FORM), form | {"points": "20"}, follow=True)

    assert "open a new one" in messages(answer)
    assert balances(alice) == [70]


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"points": "0"}, "points"),
        ({"points": "1.5"}, "points"),
        ({"points": "many"}, "points"),
        ({"points": "9" * 30}, "points"),
        ({"reason": " "}, "reason"),
        ({"users": []}, "users"),
        ({"users": ["987654"]}, "users"),
        ({"users": ["nobody"]}, "users"),
        ({"form_token": ""}, "form_token"),
    ],
)
def test_what_makes_no_sense_is_refused(
    typed: dict[str, object], field: str, boss: Client, alice: User
) -> None:
    form = filled(form_for(boss, alice), points="10", reason="a gift")

    answer = boss.post(reverse(FORM), form | typed)

    assert list(answer.context["form"].errors) == [field]
    assert answer.context["form"].errors[field][0] in answer.text
    assert LedgerEntry.objects.filter(kind="grant").count() == 0


def test_nobody_gives_points_without_the_permission(staff: Hire, boss: Client, alice: User) -> None:
    clerk = staff("view_user", "change_user", "view_ledgerentry", "change_ledgerentry")
    form = filled(form_for(boss, alice), points="10", reason="a gift")
    page = reverse("admin:users_user_change", args=[alice.pk])

    assert clerk.get(reverse(FORM)).status_code == 403
    assert clerk.post(reverse(FORM), form).status_code == 403
    assert reverse("admin:users_user_grant_this", args=[alice.pk]) not in clerk.get(page).text
    assert 'value="grant"' not in clerk.get(reverse(USERS)).text
    clerk.post(reverse(USERS), {"action": "grant", "_selected_action": [alice.pk]})
    assert (
        reverse("admin:payments_ledgerentry_grant")
        not in clerk.get(reverse("admin:payments_ledgerentry_changelist")).text
    )
    assert balances(alice) == [60]


def test_the_permission_is_enough(staff: Hire, alice: User) -> None:
    clerk = staff("grant_points", "view_user")

    boss_page = form_for(clerk, alice)
    answer = clerk.post(reverse(FORM), filled(boss_page, points="10", reason="a gift"))

    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("admin:index"))
    assert balances(alice) == [70]


def test_the_ledger_leads_to_the_form(boss: Client, alice: User) -> None:
    button = reverse("admin:payments_ledgerentry_grant")
    assert button in boss.get(reverse("admin:payments_ledgerentry_changelist")).text

    form = boss.get(button, follow=True)

    assert form.context["form"]["users"].value() == []
    boss.post(reverse(FORM), filled(form, users=[alice.pk], points="10", reason="a gift"))
    assert balances(alice) == [70]


def test_another_site_can_not_send_the_form(root: User, boss: Client, alice: User) -> None:
    form = filled(form_for(boss, alice), points="10", reason="a gift")
    forgetful = Client(enforce_csrf_checks=True)
    forgetful.force_login(root)

    assert forgetful.post(reverse(FORM), form).status_code == 403
    assert balances(alice) == [60]


def test_too_many_users_are_refused_before_anybody_gets_anything(boss: Client, alice: User) -> None:
    User.objects.bulk_create(User(username=f"crowd-{number}") for number in range(MOST_USERS))
    everybody = {"action": "grant", "_selected_action": [alice.pk], "select_across": "1"}

    answer = boss.post(reverse(USERS), everybody, follow=True)

    assert f"At most {MOST_USERS} users" in messages(answer)
    assert balances(alice) == [60]


def test_as_many_users_as_are_allowed_are_served_by_one_form(boss: Client, root: User) -> None:
    User.objects.bulk_create(User(username=f"crowd-{number}") for number in range(MOST_USERS))
    crowd = list(User.objects.filter(username__startswith="crowd-"))

    form = form_for(boss, *crowd)
    answer = boss.post(reverse(FORM), filled(form, points="1", reason="a gift"), follow=True)

    assert f"+1 points: {MOST_USERS} users." in messages(answer)
    assert LedgerEntry.objects.filter(kind="grant").count() == MOST_USERS


@pytest.mark.postgres
def test_one_form_sent_many_times_at_once_gives_points_once(alice: User, bob: User) -> None:
    root = UserFactory.create(is_staff=True, is_superuser=True)
    form = filled(form_for(browser(root), alice, bob), points="25", reason="impatient")

    outcomes = at_once(*(partial(browser(root).post, reverse(FORM), form) for _click in range(6)))

    assert errors(outcomes) == []
    assert {answer.status_code for answer in outcomes} == {302}
    assert balances(alice, bob) == [85, 85]
    assert LedgerEntry.objects.filter(kind="grant").count() == 2
    assert [finding for finding in audit.findings() if finding.broken] == []


@pytest.mark.postgres
def test_two_of_the_staff_at_once_never_take_more_than_there_is(alice: User) -> None:
    clerks = [browser(UserFactory.create(is_staff=True, is_superuser=True)) for _clerk in range(4)]
    forms = [filled(form_for(clerk, alice), points="-40", reason="a fine") for clerk in clerks]

    outcomes = at_once(
        *(partial(clerk.post, reverse(FORM), form) for clerk, form in zip(clerks, forms, strict=True))
    )

    assert errors(outcomes) == []
    assert balances(alice) == [20]
    assert LedgerEntry.objects.filter(kind="grant").count() == 1
