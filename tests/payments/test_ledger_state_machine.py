"""Any sequence of postings by several people keeps the invariants of the ledger."""

from dataclasses import dataclass, field

import pytest
from django.db import connection, transaction
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from hypothesis.stateful import run_state_machine_as_test as explore

from payments import audit, ledger
from payments.ledger import InsufficientPoints, KeyConflict
from payments.models import LedgerEntry
from qwenedit import settings
from qwenedit.users.models import User
from tests.factories import UserFactory

PEOPLE = 3
people = st.integers(0, PEOPLE - 1)
prices = st.integers(0, 90)
Kind = LedgerEntry.Kind


@dataclass(frozen=True)
class Charge:
    """A charge that was posted."""

    person: int
    job_id: int
    points: int


@dataclass
class Account:
    """What the ledger should know of one person, in the simplest terms there are."""

    user_id: int
    movements: dict[str, int] = field(default_factory=dict)

    @property
    def balance(self) -> int:
        return sum(self.movements.values())


class LedgerMachine(RuleBasedStateMachine):
    """Post, charge, refund, replay and overdraw in any order; a plain dictionary knows what must come out."""

    charges: Bundle[Charge] = Bundle("charges")

    @initialize()
    def three_people_come(self) -> None:
        self.job_id = 0
        self.rolled_back = transaction.atomic()
        self.rolled_back.__enter__()
        self.accounts = []
        for _ in range(PEOPLE):
            user = UserFactory.create()
            key = f"user:{user.pk}:initial"
            self.accounts.append(Account(user.pk, {key: settings.INITIAL_BALANCE}))

    @rule(target=charges, person=people, points=prices)
    def charge(self, person: int, points: int) -> Charge | MultipleResults[Charge]:
        account = self.accounts[person]
        self.job_id += 1
        if points > account.balance:
            with pytest.raises(InsufficientPoints) as refusal:
                ledger.charge_job(
                    user_id=account.user_id, job_id=self.job_id, points=points, description="edit"
                )
            assert refusal.value.extra == {"balance": account.balance, "required": points}
            return multiple()
        ledger.charge_job(user_id=account.user_id, job_id=self.job_id, points=points, description="edit")
        account.movements[f"job:{self.job_id}:charge"] = -points
        return Charge(person, self.job_id, points)

    @rule(charge=charges)
    def replay_charge(self, charge: Charge) -> None:
        account = self.accounts[charge.person]
        posting = ledger.post(
            user_id=account.user_id,
            amount=-charge.points,
            kind=Kind.EDIT,
            key=f"job:{charge.job_id}:charge",
        )
        assert not posting.created

    @rule(charge=charges, times=st.integers(1, 3))
    def refund(self, charge: Charge, times: int) -> None:
        account = self.accounts[charge.person]
        for _ in range(times):
            entry = ledger.refund_job(
                user_id=account.user_id, job_id=charge.job_id, points=charge.points, reason="failed"
            )
        account.movements.setdefault(entry.key, charge.points)

    @rule(charge=charges, person=people, difference=st.integers(-2, 2))
    def misuse_a_cause(self, charge: Charge, person: int, difference: int) -> None:
        amount = -charge.points + difference
        if (person, difference) == (charge.person, 0):
            return
        with pytest.raises(KeyConflict):
            ledger.post(
                user_id=self.accounts[person].user_id,
                amount=amount,
                kind=Kind.EDIT,
                key=f"job:{charge.job_id}:charge",
            )

    @rule(person=people, points=st.integers(-120, 120), key=st.sampled_from("abcdef"))
    def grant(self, person: int, points: int, key: str) -> None:
        account, full_key = self.accounts[person], f"grant:{person}:{key}"
        known = account.movements.get(full_key)
        if known is not None and known != points:
            with pytest.raises(KeyConflict):
                ledger.grant(user_id=account.user_id, points=points, key=f"{person}:{key}", reason="gift")
        elif known is None and account.balance + points < 0:
            with pytest.raises(InsufficientPoints):
                ledger.grant(user_id=account.user_id, points=points, key=f"{person}:{key}", reason="fine")
        else:
            posting = ledger.grant(user_id=account.user_id, points=points, key=f"{person}:{key}", reason="")
            assert posting.created is (known is None)
            account.movements[full_key] = points

    @rule(person=people, points=prices)
    def charge_and_fail(self, person: int, points: int) -> None:
        """Roll a charge back with the transaction it was part of."""
        account = self.accounts[person]

        @transaction.atomic
        def charge_and_fail() -> None:
            ledger.charge_job(user_id=account.user_id, job_id=0, points=points, description="")
            raise InterruptedError

        with pytest.raises(InterruptedError if points <= account.balance else InsufficientPoints):
            charge_and_fail()

    @rule(person=people)
    def save_a_stale_copy(self, person: int) -> None:
        """Save the person with a balance from another time: the ledger's stays."""
        user = User.objects.get(pk=self.accounts[person].user_id)
        user.balance = 1_000_000
        user.save()

    @invariant()
    def balances_are_what_the_model_says(self) -> None:
        for account in self.known_accounts():
            assert User.objects.values_list("balance", flat=True).get(pk=account.user_id) == account.balance

    @invariant()
    def a_balance_is_never_below_zero(self) -> None:
        assert all(account.balance >= 0 for account in self.known_accounts())

    @invariant()
    def entries_are_a_chain_of_unique_causes(self) -> None:
        for account in self.known_accounts():
            entries = list(LedgerEntry.objects.filter(user_id=account.user_id).order_by("id"))
            assert {entry.key: entry.amount for entry in entries} == account.movements
            assert len(entries) == len(account.movements)
            balance = 0
            for entry in entries:
                balance += entry.amount
                assert entry.balance_after == balance

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        if self.known_accounts():
            assert [finding for finding in audit.findings() if finding.broken] == []

    def known_accounts(self) -> list[Account]:
        return getattr(self, "accounts", [])

    def teardown(self) -> None:
        if self.known_accounts():
            transaction.set_rollback(True)
            self.rolled_back.__exit__(None, None, None)


@pytest.mark.django_db
def test_no_sequence_of_postings_breaks_the_ledger() -> None:
    explore(LedgerMachine, settings=hypothesis_settings(max_examples=40, stateful_step_count=25))


@pytest.mark.postgres
def test_no_sequence_of_postings_breaks_the_ledger_on_postgresql() -> None:
    assert connection.vendor == "postgresql"
    explore(LedgerMachine, settings=hypothesis_settings(max_examples=15, stateful_step_count=20))
