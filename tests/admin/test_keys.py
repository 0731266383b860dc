"""Keys in the admin: made, shown once, revoked."""

from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from qwenedit.users.models import ApiKey, User, key_digest
from tests.clients import api_client

LIST = "admin:users_apikey_changelist"


def make(boss: Client, user: User, **fields: object) -> tuple[ApiKey, str]:
    """Make a key through the form; return its row and the text that the page showed."""
    data = {"user": user.pk, "name": "shop", "scopes": ["read", "edit"]} | fields
    answer = boss.post(reverse("admin:users_apikey_add"), data)
    assert answer.status_code == 200
    assert {"private", "no-store"} <= set(answer.headers["Cache-Control"].split(", "))
    return ApiKey.objects.get(), answer.context["text"]


def test_the_text_of_a_new_key_is_shown_once(boss: Client, alice: User) -> None:
    key, text = make(boss, alice)

    assert (key.user, key.name, key.scopes, key.digest) == (alice, "shop", ["read", "edit"], key_digest(text))
    for url in (
        reverse(LIST),
        reverse("admin:users_apikey_change", args=[key.pk]),
        reverse("admin:users_apikey_history", args=[key.pk]),
        reverse("admin:users_user_change", args=[alice.pk]),
        reverse("admin:index"),
    ):
        shown = boss.get(url).text
        assert key.prefix in shown
        assert text not in shown
        assert key.digest not in shown
    assert text not in str(LogEntry.objects.values_list("object_repr", "change_message"))
    assert text not in str(boss.cookies) + str(dict(boss.session))


def test_the_page_that_makes_a_key_shows_its_text(boss: Client, alice: User) -> None:
    data = {"user": alice.pk, "name": "", "scopes": ["read"]}

    answer = boss.post(reverse("admin:users_apikey_add"), data)

    assert answer.context["text"] in answer.text


def test_a_new_key_works_until_it_is_revoked(boss: Client, alice: User) -> None:
    key, text = make(boss, alice)
    assert api_client(text).get("/api/v1/me/").status_code == 200

    button = reverse("admin:users_apikey_revoke_this", args=[key.pk])
    assert "Revoke for good?" in boss.get(button).text
    assert boss.post(button, {"apply": "1", "reason": "lost"}).status_code == 302

    assert api_client(text).get("/api/v1/me/").status_code == 401
    assert "lost" in LogEntry.objects.order_by("-id").first().change_message


def test_keys_are_revoked_from_the_list(boss: Client, alice: User) -> None:
    key, _ = make(boss, alice)

    boss.post(reverse(LIST), {"action": "revoke", "_selected_action": [key.pk], "apply": "1", "reason": "x"})

    key.refresh_from_db()
    assert key.revoked_at is not None
    revoked_at = key.revoked_at
    boss.post(reverse(LIST), {"action": "revoke", "_selected_action": [key.pk], "apply": "1", "reason": "x"})
    key.refresh_from_db()
    assert key.revoked_at == revoked_at


def test_changing_a_key_changes_neither_its_owner_nor_its_secret(
    boss: Client, alice: User, bob: User
) -> None:
    key, _ = make(boss, alice)

    boss.post(
        reverse("admin:users_apikey_change", args=[key.pk]),
        {"user": bob.pk, "name": "till", "scopes": ["read"], "digest": "0" * 64, "prefix": "x"},
    )

    changed = ApiKey.objects.get()
    assert (changed.name, changed.scopes) == ("till", ["read"])
    assert (changed.user, changed.digest, changed.prefix) == (alice, key.digest, key.prefix)


def test_a_key_without_a_scope_or_with_an_unknown_one_is_refused(boss: Client, alice: User) -> None:
    for scopes in ([], ["everything"]):
        answer = boss.post(
            reverse("admin:users_apikey_add"), {"user": alice.pk, "name": "", "scopes": scopes}
        )
        assert "scopes" in answer.context["adminform"].form.errors
    assert not ApiKey.objects.exists()


def test_a_key_is_never_deleted(boss: Client, alice: User) -> None:
    key, _ = make(boss, alice)

    assert boss.post(reverse("admin:users_apikey_delete", args=[key.pk]), {"post": "yes"}).status_code == 403
