"""Many threads at one balance, on both databases: points are never spent twice, given twice or lost."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from django.db import transaction

from payments import audit, ledger
from payments.ledger import InsufficientPoints, KeyConflict, Posting
from payments.models import LedgerEntry
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.threads import at_once, errors

pytestmark = pytest.mark.usefixtures("each_database")
Kind = LedgerEntry.Kind


@pytest.fixture(autouse=True)
def _the_audit_holds_afterwards(each_database: str) -> Iterator[None]:
    yield
    assert [finding for finding in audit.findings() if finding.broken] == []


def balance_of(user: User) -> int:
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def charge(user: User, job_id: int, points: int) -> LedgerEntry:
    return ledger.charge_job(user_id=user.pk, job_id=job_id, points=points, description="edit")


def refund(user: User, job_id: int, points: int) -> LedgerEntry:
    return ledger.refund_job(user_id=user.pk, job_id=job_id, points=points, reason="failed")


def test_twenty_threads_spend_from_one_balance_and_not_one_point_too_many() -> None:
    user = UserFactory.create(balance=7 * 30 + 29)
    outcomes = at_once(*(partial(charge, user, job_id, 30) for job_id in range(20)))
    assert Counter(type(outcome) for outcome in outcomes) == {LedgerEntry: 7, InsufficientPoints: 13}
    assert balance_of(user) == 29
    assert LedgerEntry.objects.filter(user=user, kind=Kind.EDIT).count() == 7


def test_fifty_equal_posts_at_once_make_one_entry() -> None:
    user = UserFactory.create()
    give = partial(ledger.grant, user_id=user.pk, points=100, key="payment-1", reason="paid")
    outcomes = at_once(*[give] * 50)
    assert errors(outcomes) == []
    postings = [outcome for outcome in outcomes if isinstance(outcome, Posting)]
    assert Counter(posting.created for posting in postings) == {True: 1, False: 49}
    assert len({posting.entry.pk for posting in postings}) == 1
    assert balance_of(user) == user.balance + 100


def test_charges_and_refunds_at_once_come_out_even() -> None:
    user = UserFactory.create(balance=300)
    for job_id in range(10):
        charge(user, job_id, 30)
    outcomes = at_once(
        *(partial(refund, user, job_id, 30) for job_id in range(10)),
        *(partial(charge, user, 100 + job_id, 30) for job_id in range(10)),
    )
    refused = errors(outcomes)
    assert {type(error) for error in refused} <= {InsufficientPoints}
    assert all(isinstance(outcome, LedgerEntry) for outcome in outcomes[:10])
    assert balance_of(user) == 300 - 30 * (10 - len(refused))


def test_one_charge_and_its_refund_race_with_their_replays() -> None:
    user = UserFactory.create(balance=30)
    charge(user, 1, 30)
    outcomes = at_once(*[partial(charge, user, 1, 30), partial(refund, user, 1, 30)] * 10)
    assert errors(outcomes) == []
    assert balance_of(user) == 30
    assert user.ledger_entries.filter(key__startswith="job:1:").count() == 2


def test_users_do_not_disturb_each_other() -> None:
    users = UserFactory.create_batch(8, balance=30)
    outcomes = at_once(*(partial(charge, user, user.pk, 30) for user in users for _ in range(2)))
    assert errors(outcomes) == []
    assert [balance_of(user) for user in users] == [0] * 8


def test_one_cause_for_two_users_at_once_is_a_conflict_for_one_of_them() -> None:
    users = UserFactory.create_batch(6)
    outcomes = at_once(
        *(
            partial(ledger.post, user_id=user.pk, amount=5, kind=Kind.GRANT, key="grant:same")
            for user in users
        )
    )
    assert Counter(type(outcome) for outcome in outcomes) == {Posting: 1, KeyConflict: 5}
    assert sum(balance_of(user) for user in users) == sum(user.balance for user in users) + 5


def test_a_posting_inside_longer_transactions_is_as_safe() -> None:
    user = UserFactory.create(balance=50)

    def submit(job_id: int) -> int:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).exists()
            return charge(user, job_id, 20).balance_after

    outcomes = at_once(*(partial(submit, job_id) for job_id in range(6)))
    assert sorted(outcome for outcome in outcomes if isinstance(outcome, int)) == [10, 30]
    assert [type(error) for error in errors(outcomes)] == [InsufficientPoints] * 4


def test_saving_a_profile_during_charges_undoes_none_of_them() -> None:
    user = UserFactory.create(balance=100)
    stale = User.objects.get(pk=user.pk)

    def rename(number: int) -> None:
        copy = User.objects.get(pk=stale.pk)
        copy.first_name = f"Name {number}"
        copy.balance = stale.balance
        copy.save()

    outcomes = at_once(
        *(partial(charge, user, job_id, 10) for job_id in range(8)),
        *(partial(rename, number) for number in range(8)),
    )
    assert errors(outcomes) == []
    assert balance_of(user) == 20
