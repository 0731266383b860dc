"""`manage.py audit`: finds nothing where nothing is wrong, and each kind of fault that it knows."""

import io
import os
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

import botapp.audit
import jobs.audit
import payments.audit
import webhooks.audit
from botapp.models import DeliveryStatus, Lane, OrderStatus
from jobs.models import JobImage
from jobs.states import AttemptStatus, JobStatus
from payments import triggers
from payments.models import LedgerEntry, PaymentStatus, PromoCode, RefundStatus
from payments.promo import redeem_code
from payments.referrals import reward_first_edit
from qwenedit import settings
from qwenedit.lib.audit import MOST_EXAMPLES, Finding
from qwenedit.users.models import Referral, User
from tests.factories import (
    AttemptFactory,
    DeliveryFactory,
    EndpointFactory,
    IncomingUpdateFactory,
    JobFactory,
    OrderFactory,
    PaymentFactory,
    RefundFactory,
    UserFactory,
    WebhookDeliveryFactory,
)
from tests.faults import FAULTS, SUM, Fault, name_of
from tests.threads import at_once, errors

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def findings() -> list[Finding]:
    """Return what the command prints."""
    return [finding for app in (payments, jobs, webhooks, botapp) for finding in app.audit.findings()]


def broken() -> dict[str, int]:
    """Return the broken invariants with their counts."""
    return {finding.invariant: finding.broken for finding in findings() if finding.broken}


def populate() -> None:
    """Fill the database with a job in every state, and with what only looks like a fault."""
    now = timezone.now()
    alice = UserFactory.create(balance=1000)
    for status in JobStatus:
        JobFactory.create(user=alice, status=status)
        JobFactory.create(user=alice, status=status, price=0)
    retried = JobFactory.create(status=JobStatus.RUNNING)
    AttemptFactory.create(job=retried, status=AttemptStatus.FAILED, finished_at=now)
    # Just cancelled: its runner has yet to take the prompt off the node.
    AttemptFactory.create(job=JobFactory.create(status=JobStatus.CANCELLED, finished_at=now))
    # Just abandoned: the sweep comes within seconds.
    JobFactory.create(status=JobStatus.RUNNING, lease_until=now - timedelta(seconds=30))
    # Purged after its time.
    kept = timedelta(days=settings.RESULT_RETENTION_DAYS)
    old = JobFactory.create(status=JobStatus.SUCCEEDED, finished_at=now - kept - timedelta(hours=1))
    JobImage.objects.filter(job=old).delete()
    for payment_status in PaymentStatus:
        PaymentFactory.create(status=payment_status)
    for refund_status in RefundStatus:
        RefundFactory.create(status=refund_status)
    everything = RefundFactory.create(status=RefundStatus.CANCELED, amount=10_000, points=1000)
    RefundFactory.create(payment=everything.payment, amount=10_000, points=1000)
    PromoCode.objects.create(code="POPULAR", points=5, max_uses=2)
    for redeemer in (alice, UserFactory.create()):
        redeem_code(user=redeemer, code="popular")
    for is_blocked in (False, True):
        inviter = UserFactory.create(is_blocked=is_blocked)
        referral = Referral.objects.create(inviter=inviter, friend=UserFactory.create())
        assert reward_first_edit(referral.friend.pk)
    Referral.objects.create(inviter=alice, friend=UserFactory.create())
    for delivery_status in DeliveryStatus:
        is_open = delivery_status in (DeliveryStatus.PENDING, DeliveryStatus.SENDING)
        DeliveryFactory.create(
            status=delivery_status, finished_at=None if is_open else now, failure="" if is_open else "x"
        )
    # Bulk waits for its turn.
    DeliveryFactory.create(lane=Lane.BULK, next_try_at=now - timedelta(minutes=30))
    IncomingUpdateFactory.create()
    for order_status in OrderStatus:
        OrderFactory.create(status=order_status)
    told = JobFactory.create(status=JobStatus.SUCCEEDED)
    OrderFactory.create(job=told, status=OrderStatus.SUBMITTED)
    DeliveryFactory.create(key=f"job:{told.pk}:finished")
    EndpointFactory.create(disabled_at=now, disabled_reason="gone")
    for status in ("pending", "sending", "delivered", "failed", "cancelled"):
        has_ended = status not in ("pending", "sending")
        WebhookDeliveryFactory.create(
            status=status, finished_at=now if has_ended else None, failure="x" if has_ended else ""
        )


def run_audit() -> tuple[int, list[str]]:
    """Run the command; return its exit code and its lines."""
    printed = io.StringIO()
    try:
        call_command("audit", stdout=printed, no_color=True)
    except SystemExit as end:
        return int(end.code or 0), printed.getvalue().splitlines()
    return 0, printed.getvalue().splitlines()


@pytest.mark.django_db
def test_a_clean_database_holds_every_invariant() -> None:
    populate()
    code, lines = run_audit()
    assert code == 0
    total = len(findings())
    assert lines[-1] == f"{total} of {total} invariants hold"
    assert all(line.startswith("holds         0  ") for line in lines[:-1])
    assert len(lines) == total + 1


@pytest.mark.django_db
def test_an_empty_database_holds_every_invariant() -> None:
    assert run_audit()[0] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("fault", FAULTS, ids=name_of)
def test_a_fault_is_reported_and_nothing_else_is(fault: Fault) -> None:
    populate()
    fault.make()
    assert broken() == fault.reported
    code, lines = run_audit()
    assert code == 1
    shown = {line.split("  (")[0] for line in lines if line.startswith("broken")}
    assert shown == {f"broken {count:>8}  {invariant}" for invariant, count in fault.reported.items()}
    total = len(findings())
    assert lines[-1] == f"{total - len(fault.reported)} of {total} invariants hold"


@pytest.mark.postgres
def test_on_postgresql_every_fault_is_reported_and_nothing_else_is() -> None:
    populate()
    assert broken() == {}
    for fault in FAULTS:
        with transaction.atomic():
            fault.make()
            assert broken() == fault.reported, name_of(fault)
            transaction.set_rollback(True)
    assert broken() == {}


@pytest.mark.django_db
def test_every_invariant_has_a_fault_that_breaks_it() -> None:
    known = {invariant for fault in FAULTS for invariant in fault.reported}
    assert {finding.invariant for finding in findings()} == known


@pytest.mark.django_db
def test_the_first_rows_that_break_an_invariant_are_named() -> None:
    users = UserFactory.create_batch(MOST_EXAMPLES + 2)
    User.objects.filter(pk__in=[user.pk for user in users[:2]]).update(balance=61)
    (line,) = [line for line in run_audit()[1] if line.startswith("broken")]
    assert line.endswith(f"{SUM}  (user {users[0].pk}, user {users[1].pk})")
    User.objects.update(balance=61)
    (line,) = [line for line in run_audit()[1] if line.startswith("broken")]
    named = ", ".join(f"user {user.pk}" for user in users[:MOST_EXAMPLES])
    assert line.endswith(f"{SUM}  ({named}, …)")
    assert f" {MOST_EXAMPLES + 2}  " in line


@pytest.mark.django_db
def test_the_number_of_queries_does_not_grow_with_the_data() -> None:
    def queries() -> int:
        statements: list[str] = []

        def remember(execute: Any, sql: str, *rest: Any) -> Any:
            statements.append(sql)
            return execute(sql, *rest)

        with connection.execute_wrapper(remember):
            findings()
        return len(statements)

    few = queries()
    populate()
    assert queries() == few


@pytest.mark.postgres
def test_jobs_that_come_while_it_looks_are_no_faults() -> None:
    users = UserFactory.create_batch(3, balance=10_000)
    JobFactory.create(user=users[0])

    def submit(user: User) -> int:
        with transaction.atomic():
            return JobFactory.create(user=user).pk

    submitted: list[object] = []

    def submit_before_each_query(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("SELECT"):
            submitted.extend(at_once(*(partial(submit, user) for user in users)))
        return execute(sql, *rest)

    with connection.execute_wrapper(submit_before_each_query):
        code, lines = run_audit()
    assert errors(submitted) == []
    assert len(submitted) > 30
    assert (code, [line for line in lines if line.startswith("broken")]) == (0, [])


@pytest.mark.processes
class TestTheProcess:
    """The exit code, as a scheduler sees it."""

    @staticmethod
    def audit(**environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", "audit"],
            cwd=PROJECT_ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_says_so_on_sqlite(self, transactional_db: None) -> None:
        user = JobFactory.create().user
        assert self.audit().returncode == 0
        User.objects.filter(pk=user.pk).update(balance=7)
        answer = self.audit()
        assert answer.returncode == 1
        assert f"broken        1  {SUM}  (user {user.pk})" in answer.stdout

    @pytest.mark.postgres
    def test_says_so_on_postgresql(self, postgres_url: str) -> None:
        user = JobFactory.create().user
        assert self.audit(DATABASE_URL=postgres_url).returncode == 0
        User.objects.filter(pk=user.pk).update(balance=7)
        answer = self.audit(DATABASE_URL=postgres_url)
        assert answer.returncode == 1
        assert f"broken        1  {SUM}  (user {user.pk})" in answer.stdout


def test_nothing_is_left_of_the_faults_that_tests_made(each_database: str) -> None:
    assert not LedgerEntry.objects.exists()
    assert triggers.missing() == []
