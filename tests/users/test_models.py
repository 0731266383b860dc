"""A user's balance is written by the ledger alone, and everybody starts with the same points."""

import io
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from pytest_django import Settings

from payments import audit, ledger
from payments.models import LedgerEntry
from qwenedit.users.models import User
from qwenedit.users.services import register_api_user, register_telegram_user
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def superuser_by_command() -> User:
    call_command(
        "createsuperuser", interactive=False, username="root", email="root@example.com", stdout=io.StringIO()
    )
    return User.objects.get(username="root")


def key_for_a_newcomer() -> User:
    call_command("create_api_key", telegram_id=77, stdout=io.StringIO(), stderr=io.StringIO())
    return User.objects.get(telegram_id=77)


WAYS: dict[str, Callable[[], User]] = {
    "User.objects.create": lambda: User.objects.create(username="one"),
    "create_user": lambda: User.objects.create_user("two", "two@example.com", "secret"),
    "create_superuser": lambda: User.objects.create_superuser("three", "three@example.com", "secret"),
    "createsuperuser": superuser_by_command,
    "register_telegram_user": lambda: register_telegram_user(telegram_id=5_123_456_789)[0],
    "register_api_user": lambda: register_api_user(username="integrator")[0],
    "create_api_key": key_for_a_newcomer,
    "get_or_create": lambda: User.objects.get_or_create(username="four")[0],
    "update_or_create": lambda: User.objects.update_or_create(username="five", defaults={"email": "a@b.c"})[
        0
    ],
    "with a balance made up": lambda: User.objects.create(username="six", balance=1_000_000),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_new_user_starts_with_the_same_points_whichever_way_they_come(way: str, settings: Settings) -> None:
    user = WAYS[way]()
    assert user.balance == settings.INITIAL_BALANCE == 60
    assert User.objects.get(pk=user.pk).balance == 60
    entry = LedgerEntry.objects.get(user=user)
    assert (entry.kind, entry.amount, entry.balance_after) == (LedgerEntry.Kind.INITIAL, 60, 60)
    assert entry.key == f"user:{user.pk}:initial"
    assert [finding for finding in audit.findings() if finding.broken] == []


def test_where_newcomers_get_nothing_their_entry_says_so(settings: Settings) -> None:
    settings.INITIAL_BALANCE = 0
    user = UserFactory.create()
    assert user.balance == 0
    entry = LedgerEntry.objects.get(user=user)
    assert (entry.kind, entry.amount, entry.balance_after) == (LedgerEntry.Kind.INITIAL, 0, 0)


def test_nobody_exists_without_their_first_entry(settings: Settings) -> None:
    settings.INITIAL_BALANCE = ledger.LARGEST_AMOUNT + 1
    with pytest.raises(ValueError, match="no believable amount"), transaction.atomic():
        User.objects.create(username="unlucky")
    assert not User.objects.filter(username="unlucky").exists()


class TestSavingAStaleCopy:
    """A user object that somebody holds while points move."""

    @pytest.fixture
    def stale(self, alice: User) -> User:
        copy = User.objects.get(pk=alice.pk)
        ledger.charge_job(user_id=alice.pk, job_id=1, points=30, description="")
        assert copy.balance == 60
        return copy

    @staticmethod
    def balance_of(user: User) -> int:
        return User.objects.values_list("balance", flat=True).get(pk=user.pk)

    def test_saves_everything_but_the_balance(self, stale: User) -> None:
        stale.first_name, stale.language, stale.is_blocked = "Alicia", User.Language.RUSSIAN, True
        stale.save()
        fresh = User.objects.get(pk=stale.pk)
        assert (fresh.first_name, fresh.language, fresh.is_blocked) == ("Alicia", "ru", True)
        assert fresh.balance == 30

    @pytest.mark.parametrize(
        "save",
        [
            lambda user: user.save(update_fields=["balance"]),
            lambda user: user.save(update_fields=["first_name", "balance"]),
            lambda user: user.save(update_fields=("balance", "first_name")),
            lambda user: user.save(force_update=True),
            lambda user: User.objects.update_or_create(pk=user.pk, defaults={"balance": 9_999}),
        ],
    )
    def test_does_not_write_the_balance_however_it_is_asked(
        self, stale: User, save: Callable[[User], object]
    ) -> None:
        stale.balance = 9_999
        save(stale)
        assert self.balance_of(stale) == 30

    def test_writes_the_named_fields_alone(self, stale: User) -> None:
        stale.first_name, stale.last_name = "Alicia", "Liddell"
        stale.save(update_fields=["last_name"])
        fresh = User.objects.get(pk=stale.pk)
        assert (fresh.first_name, fresh.last_name) == ("Alice", "Liddell")

    def test_leaves_what_was_not_loaded_as_it_is_now(self, alice: User) -> None:
        partial = User.objects.only("username").get(pk=alice.pk)
        User.objects.filter(pk=alice.pk).update(first_name="Somebody else's change")
        partial.username = "alicia"
        partial.save()
        fresh = User.objects.get(pk=alice.pk)
        assert (fresh.username, fresh.first_name) == ("alicia", "Somebody else's change")


def test_telegram_ids_beyond_32_bits_are_kept_and_are_unique(db: None) -> None:
    largest = 2**52
    assert UserFactory.create(telegram_id=largest).telegram_id == largest
    assert User.objects.get(telegram_id=largest).pk
    with pytest.raises(IntegrityError), transaction.atomic():
        UserFactory.create(telegram_id=largest)


def test_many_users_may_have_no_telegram_id(db: None) -> None:
    UserFactory.create_batch(2, telegram_id=None)
    assert User.objects.filter(telegram_id=None).count() == 2
