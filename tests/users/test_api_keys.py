"""Keys: shown once, stored as a digest, limited by scopes, worthless once revoked."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from qwenedit.users.models import ApiKey, Scope, User, key_digest
from qwenedit.users.services import create_api_key
from tests.clients import api_client

pytestmark = pytest.mark.django_db

ME = "api:me"


def run_command(**options: object) -> tuple[str, str]:
    """Run `create_api_key`; return what it prints: the key, and the words around it."""
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command("create_api_key", stdout=stdout, stderr=stderr, **options)
    return stdout.getvalue().strip(), stderr.getvalue()


def status_with(key: str) -> int:
    """Ask `me/` with a key; return the HTTP status."""
    return api_client(key).get(reverse(ME)).status_code


class TestTheCommand:
    """`manage.py create_api_key`."""

    def test_prints_a_key_that_works(self, alice: User) -> None:
        text, words = run_command(telegram_id=alice.telegram_id)
        answer = api_client(text).get(reverse(ME))
        assert (answer.status_code, answer.json()["id"]) == (200, alice.pk)
        assert words == f"User alice, id {alice.pk}. The key is shown once:\n"

    def test_prints_nothing_else_on_stdout_so_that_scripts_can_take_it(self, alice: User) -> None:
        text, _ = run_command(username="alice")
        assert text.startswith("qe_")
        assert len(text.split()) == 1

    def test_stores_the_digest_and_the_first_letters_alone(self, alice: User) -> None:
        text, _ = run_command(username="alice", name="Shop, production")
        key = ApiKey.objects.get(user=alice)
        assert (key.digest, key.prefix, key.name) == (key_digest(text), text[:11], "Shop, production")
        assert str(key) == text[:11] + "…"
        stored = ApiKey.objects.values().get()
        assert not any(text in str(value) for value in stored.values())

    def test_makes_a_new_key_each_time(self, alice: User) -> None:
        texts = {run_command(username="alice")[0] for _ in range(3)}
        assert len(texts) == 3
        assert {status_with(text) for text in texts} == {200}

    def test_makes_the_user_where_there_is_none(self) -> None:
        text, words = run_command(username="newcomer")
        user = User.objects.get(username="newcomer")
        assert words.startswith(f"New user newcomer, id {user.pk}.")
        assert api_client(text).get(reverse(ME)).json()["balance"] == 60

    def test_gives_every_scope_unless_told(self, alice: User) -> None:
        run_command(username="alice")
        assert ApiKey.objects.get().scopes == ["read", "edit", "pay"]

    def test_gives_the_scopes_it_is_told(self, alice: User) -> None:
        run_command(username="alice", scope=["read", "edit"])
        assert ApiKey.objects.get().scopes == ["read", "edit"]

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ([], "one of the arguments"),
            (["--username", "alice", "--telegram-id", "1001"], "not allowed with"),
            (["--username", "alice", "--scope", "everything"], "invalid choice"),
            (["--telegram-id", "alice"], "invalid int value"),
            (["--username", "two words"], "valid username"),
        ],
    )
    def test_refuses_what_it_can_not_understand(
        self, alice: User, arguments: list[str], complaint: str
    ) -> None:
        with pytest.raises(CommandError, match=complaint):
            call_command("create_api_key", *arguments)
        assert not ApiKey.objects.exists()


class TestWhatAKeyMayDo:
    """Scopes, and the ends of a key."""

    def test_a_key_without_the_scope_to_read_reads_nothing(self, alice: User) -> None:
        _, text = create_api_key(user=alice, scopes=[Scope.EDIT])
        answer = api_client(text).get(reverse(ME))
        assert answer.status_code == 403

    def test_no_key_and_a_wrong_key_are_unauthorized(self, alice_key: str) -> None:
        assert status_with("") == 401
        assert status_with(alice_key + "x") == 401
        assert status_with(alice_key[:-1]) == 401

    def test_the_digest_is_no_key(self, alice_key: str) -> None:
        assert status_with(ApiKey.objects.get().digest) == 401

    def test_a_revoked_key_is_worthless_and_the_others_work_on(self, alice: User, alice_key: str) -> None:
        key, text = create_api_key(user=alice)
        key.revoked_at = timezone.now()
        key.save()
        assert status_with(text) == 401
        assert status_with(alice_key) == 200

    @pytest.mark.parametrize("change", [{"is_blocked": True}, {"is_active": False}])
    def test_a_blocked_account_has_no_usable_key(
        self, alice: User, alice_key: str, bob_key: str, change: dict[str, bool]
    ) -> None:
        User.objects.filter(pk=alice.pk).update(**change)
        assert status_with(alice_key) == 401
        assert status_with(bob_key) == 200
        assert list(ApiKey.objects.usable().values_list("user__username", flat=True)) == ["bob"]


class TestLastUse:
    """When a key was last used, to the minute."""

    def test_is_recorded_by_a_request(self, alice_key: str) -> None:
        before = timezone.now()
        status_with(alice_key)
        used = ApiKey.objects.get().last_used_at
        assert used is not None
        assert before <= used <= timezone.now()

    def test_is_written_once_a_minute_however_busy_the_key_is(self, alice: User) -> None:
        key, _ = create_api_key(user=alice)
        noon = timezone.now()
        seen = []
        for seconds in (0, 1, 59, 61):
            key.refresh_from_db()
            key.touch(noon + timedelta(seconds=seconds))
            seen.append(ApiKey.objects.get().last_used_at)
        assert seen == [noon, noon, noon, noon + timedelta(seconds=61)]
