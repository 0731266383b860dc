"""The ledger: points move once for a cause, never below zero, and nothing that moved is ever changed."""

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from pytest_django import DjangoCaptureOnCommitCallbacks

from payments import ledger
from payments.ledger import InsufficientPoints, KeyConflict
from payments.models import LedgerEntry
from qwenedit.users.models import User
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
Kind = LedgerEntry.Kind


def balance_of(user: User) -> int:
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def test_an_edit_is_charged_and_the_entry_says_everything(alice: User) -> None:
    entry = ledger.charge_job(user_id=alice.pk, job_id=17, points=30, description="Pencil sketch")
    assert balance_of(alice) == settings.INITIAL_BALANCE - 30
    stored = LedgerEntry.objects.get(pk=entry.pk)
    assert (stored.user_id, stored.amount, stored.balance_after) == (alice.pk, -30, balance_of(alice))
    assert (stored.kind, stored.key, stored.description) == (Kind.EDIT, "job:17:charge", "Pencil sketch")


def test_an_edit_that_did_not_succeed_is_refunded(alice: User) -> None:
    ledger.charge_job(user_id=alice.pk, job_id=17, points=30, description="")
    entry = ledger.refund_job(user_id=alice.pk, job_id=17, points=30, reason="Job 17 failed")
    assert balance_of(alice) == entry.balance_after == settings.INITIAL_BALANCE
    assert (entry.amount, entry.kind, entry.key) == (30, Kind.EDIT_REFUND, "job:17:refund")


def test_the_same_cause_moves_points_once(alice: User) -> None:
    first = ledger.post(user_id=alice.pk, amount=-10, kind=Kind.EDIT, key="job:1:charge")
    second = ledger.post(user_id=alice.pk, amount=-10, kind=Kind.EDIT, key="job:1:charge")
    assert (first.created, second.created) == (True, False)
    assert first.entry == second.entry
    assert balance_of(alice) == settings.INITIAL_BALANCE - 10


def test_a_replayed_charge_is_no_overdraft_even_where_the_balance_is_used_up(alice: User) -> None:
    ledger.charge_job(user_id=alice.pk, job_id=1, points=alice.balance, description="")
    ledger.charge_job(user_id=alice.pk, job_id=1, points=alice.balance, description="")
    assert balance_of(alice) == 0


def test_the_whole_balance_may_be_spent_but_no_point_more(alice: User) -> None:
    ledger.charge_job(user_id=alice.pk, job_id=1, points=settings.INITIAL_BALANCE, description="")
    with pytest.raises(InsufficientPoints) as refusal:
        ledger.charge_job(user_id=alice.pk, job_id=2, points=1, description="")
    assert refusal.value.extra == {"balance": 0, "required": 1}
    assert (refusal.value.code, refusal.value.status, refusal.value.retryable) == (
        "insufficient_points",
        402,
        False,
    )
    assert balance_of(alice) == 0
    assert not LedgerEntry.objects.filter(key="job:2:charge").exists()


def test_a_balance_of_29_does_not_buy_an_edit_of_30() -> None:
    user = UserFactory.create(balance=29)
    with pytest.raises(InsufficientPoints, match="This needs 30 points, the balance is 29"):
        ledger.charge_job(user_id=user.pk, job_id=1, points=30, description="")
    assert balance_of(user) == 29


def test_an_edit_for_nothing_leaves_an_entry_of_zero(alice: User) -> None:
    entry = ledger.charge_job(user_id=alice.pk, job_id=1, points=0, description="")
    assert (entry.amount, entry.balance_after) == (0, settings.INITIAL_BALANCE)


@pytest.mark.parametrize(("whose", "amount"), [("alice", -20), ("bob", -10)])
def test_a_cause_used_for_another_amount_or_user_is_refused(
    alice: User, bob: User, whose: str, amount: int
) -> None:
    ledger.post(user_id=alice.pk, amount=-10, kind=Kind.EDIT, key="job:1:charge")
    other = {"alice": alice, "bob": bob}[whose]
    before = balance_of(other)
    with pytest.raises(KeyConflict, match="job:1:charge"):
        ledger.post(user_id=other.pk, amount=amount, kind=Kind.EDIT, key="job:1:charge")
    assert balance_of(other) == before


def test_nothing_moves_where_the_callers_transaction_fails(alice: User) -> None:
    @transaction.atomic
    def charge_and_fail() -> None:
        ledger.charge_job(user_id=alice.pk, job_id=1, points=30, description="")
        raise InterruptedError

    with pytest.raises(InterruptedError):
        charge_and_fail()
    assert balance_of(alice) == settings.INITIAL_BALANCE
    assert LedgerEntry.objects.filter(user=alice).count() == 1


def test_a_refusal_leaves_the_callers_transaction_usable(alice: User) -> None:
    with transaction.atomic():
        with pytest.raises(InsufficientPoints):
            ledger.charge_job(user_id=alice.pk, job_id=1, points=10_000, description="")
        ledger.charge_job(user_id=alice.pk, job_id=2, points=10, description="")
    assert balance_of(alice) == settings.INITIAL_BALANCE - 10


def test_points_are_granted_and_taken_for_a_named_reason(alice: User) -> None:
    given = ledger.grant(user_id=alice.pk, points=500, key="contest-7", reason="Won the contest")
    taken = ledger.grant(user_id=alice.pk, points=-100, key="contest-7-correction", reason="Typo")
    assert (given.entry.key, given.entry.kind, given.entry.description) == (
        "grant:contest-7",
        Kind.GRANT,
        "Won the contest",
    )
    assert taken.entry.balance_after == balance_of(alice) == settings.INITIAL_BALANCE + 400


def test_taking_more_than_there_is_is_refused(alice: User) -> None:
    with pytest.raises(InsufficientPoints):
        ledger.grant(user_id=alice.pk, points=-(settings.INITIAL_BALANCE + 1), key="fine", reason="Fine")


@pytest.mark.parametrize("amount", [ledger.LARGEST_AMOUNT + 1, -ledger.LARGEST_AMOUNT - 1])
def test_an_amount_beyond_belief_is_a_mistake_in_our_code(alice: User, amount: int) -> None:
    with pytest.raises(ValueError, match="no believable amount"):
        ledger.post(user_id=alice.pk, amount=amount, kind=Kind.GRANT, key="grant:typo")


def test_a_user_who_does_not_exist_gets_no_entry() -> None:
    with pytest.raises(User.DoesNotExist):
        ledger.post(user_id=987_654, amount=1, kind=Kind.GRANT, key="grant:nobody")
    assert not LedgerEntry.objects.filter(key="grant:nobody").exists()


def test_a_long_description_is_cut_to_what_the_column_holds(alice: User) -> None:
    entry = ledger.charge_job(user_id=alice.pk, job_id=1, points=1, description="я" * 500)
    assert LedgerEntry.objects.get(pk=entry.pk).description == "я" * 200


@pytest.mark.postgres
def test_postgresql_takes_the_longest_description_too(alice: User) -> None:
    entry = ledger.refund_job(user_id=alice.pk, job_id=1, points=1, reason="я" * 500)
    assert LedgerEntry.objects.get(pk=entry.pk).description == "я" * 200


class TestTheDatabaseItself:
    """What holds even where code goes past the ledger."""

    def test_refuses_a_balance_below_zero(self, alice: User) -> None:
        with pytest.raises(IntegrityError, match="users_balance_not_negative"), transaction.atomic():
            User.objects.filter(pk=alice.pk).update(balance=-1)

    def test_refuses_an_entry_that_ends_below_zero(self, alice: User) -> None:
        entry = LedgerEntry(user=alice, amount=-61, balance_after=-1, kind=Kind.EDIT, key="job:1:charge")
        with pytest.raises(IntegrityError, match="payments_ledger_no_overdraft"), transaction.atomic():
            entry.save()

    def test_refuses_a_second_entry_for_a_cause(self, alice: User) -> None:
        entry = LedgerEntry(
            user=alice, amount=0, balance_after=60, kind=Kind.INITIAL, key=f"user:{alice.pk}:initial"
        )
        with pytest.raises(IntegrityError), transaction.atomic():
            entry.save()

    def test_refuses_to_delete_a_user_with_entries(self, alice: User) -> None:
        with pytest.raises(IntegrityError, match=r"PROTECT|protected|FOREIGN KEY"):
            alice.delete()


@pytest.mark.postgres
@pytest.mark.parametrize("look", [{"key": "job:17:charge"}, {"key__startswith": "job:17:"}])
def test_one_index_finds_a_cause_by_its_whole_or_its_beginning(look: dict[str, str]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # the table is too small for any index
        plan = LedgerEntry.objects.filter(**look).order_by().explain()
    assert "payments_ledger_key" in plan


class TestAnEntryInMemory:
    """The model refuses first, with a sentence that says what to do instead."""

    def test_is_not_saved_twice(self, alice: User) -> None:
        entry = alice.ledger_entries.get()
        entry.amount = 1_000_000
        with pytest.raises(TypeError, match="post a new entry"):
            entry.save()
        assert alice.ledger_entries.get().amount == settings.INITIAL_BALANCE

    def test_is_not_deleted(self, alice: User) -> None:
        with pytest.raises(TypeError, match="post a new entry"):
            alice.ledger_entries.get().delete()


class TestNewsOfARefund:
    """One log line, after the commit, and only where points did move."""

    def refund(self, user: User) -> LedgerEntry:
        return ledger.refund_job(user_id=user.pk, job_id=1, points=5, reason="Job 1 failed")

    def test_is_told_once_after_the_commit(
        self,
        alice: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with django_capture_on_commit_callbacks() as told:
            self.refund(alice)
            self.refund(alice)
        assert len(told) == 1
        assert not caplog.records
        told[0]()
        assert [record.name for record in caplog.records] == ["payments.ledger"]

    def test_is_not_told_where_the_transaction_fails(
        self,
        alice: User,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        @transaction.atomic
        def refund_and_fail() -> None:
            self.refund(alice)
            raise InterruptedError

        with django_capture_on_commit_callbacks() as told, pytest.raises(InterruptedError):
            refund_and_fail()
        assert told == []


def test_posting_costs_few_queries(alice: User) -> None:
    with connection.execute_wrapper(counting := CountQueries()):
        ledger.charge_job(user_id=alice.pk, job_id=1, points=1, description="")
    assert counting.statements == ["UPDATE", "INSERT"]


class CountQueries:
    """Remember the verbs of statements, without those of transactions."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(self, execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        verb = sql.split()[0]
        if verb not in ("SAVEPOINT", "RELEASE", "BEGIN"):
            self.statements.append(verb)
        return execute(sql, params, many, context)
