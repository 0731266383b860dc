"""Faults in the data that the audit must find, each made as a bug or a person with a database shell would.

Behind the system's back: past triggers and constraints, on SQLite and on PostgreSQL. Whoever makes one rolls
the transaction back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection
from django.utils import timezone

from botapp.models import DeliveryStatus, Lane, OrderStatus
from jobs.models import Job
from jobs.states import AttemptStatus, JobStatus
from payments import ledger, triggers
from payments.models import LedgerEntry, Payment, PaymentStatus, PromoCode, Refund, RefundStatus
from payments.promo import redeem_code
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

LONG_AGO = timedelta(minutes=10)


def unguarded(statement: str, *values: int | str) -> None:
    """Execute what triggers and constraints would refuse. PostgreSQL's own are back after a rollback."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in triggers.names(connection):
                cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute("PRAGMA ignore_check_constraints = ON")
            cursor.execute(statement, values)
            cursor.execute("PRAGMA ignore_check_constraints = OFF")
            triggers.install()
        else:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("ALTER TABLE users_user DROP CONSTRAINT IF EXISTS users_balance_not_negative")
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement, values)
            cursor.execute("SET LOCAL session_replication_role = origin")


def change_balance(balance: int) -> None:
    user = UserFactory.create()
    unguarded("UPDATE users_user SET balance = %s WHERE id = %s", balance, user.pk)


def change_balance_and_its_newest_entry() -> None:
    user = UserFactory.create()
    unguarded("UPDATE payments_ledgerentry SET balance_after = 61 WHERE user_id = %s", user.pk)
    unguarded("UPDATE users_user SET balance = 61 WHERE id = %s", user.pk)


def break_the_chain() -> None:
    user = UserFactory.create(balance=90)
    unguarded("UPDATE payments_ledgerentry SET balance_after = 70 WHERE key = %s", f"user:{user.pk}:initial")


def lose_the_welcome() -> None:
    user = UserFactory.create()
    unguarded("DELETE FROM payments_ledgerentry WHERE user_id = %s", user.pk)
    User.objects.filter(pk=user.pk).update(balance=0)


def drop_a_trigger() -> None:
    table = "" if connection.vendor == "sqlite" else f" ON {triggers.TABLE}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {triggers.NO_UPDATE}{table}")


def forget_to_charge() -> None:
    Job.objects.create(user=UserFactory.create(), prompt="make it blue", seed=1, price=30)


def change_the_price() -> None:
    Job.objects.filter(pk=JobFactory.create().pk).update(price=31)


def charge_somebody_else() -> None:
    Job.objects.filter(pk=JobFactory.create().pk).update(user=UserFactory.create())


def fail_without_refund() -> None:
    job = JobFactory.create()
    Job.objects.filter(pk=job.pk).update(status=JobStatus.FAILED, finished_at=timezone.now())


def refund_a_success() -> None:
    job = JobFactory.create(status=JobStatus.SUCCEEDED)
    ledger.refund_job(user_id=job.user_id, job_id=job.pk, points=job.price, reason="generosity")


def run_without_attempt() -> None:
    JobFactory.create(status=JobStatus.RUNNING).attempts.update(status=AttemptStatus.LOST)


def run_twice_at_once() -> None:
    AttemptFactory.create(job=JobFactory.create(status=JobStatus.RUNNING))


def queue_what_runs() -> None:
    AttemptFactory.create(job=JobFactory.create())


def forget_an_attempt() -> None:
    job = JobFactory.create(status=JobStatus.CANCELLED, finished_at=timezone.now() - LONG_AGO)
    AttemptFactory.create(job=job)


def abandon_a_job() -> None:
    JobFactory.create(status=JobStatus.RUNNING, lease_until=timezone.now() - LONG_AGO)


def lose_the_result() -> None:
    JobFactory.create(status=JobStatus.SUCCEEDED).images.all().delete()


def finish_at_no_time() -> None:
    JobFactory.create(status=JobStatus.FAILED, finished_at=None)


def succeed_twice() -> None:
    job = JobFactory.create(status=JobStatus.SUCCEEDED)
    AttemptFactory.create(job=job, status=AttemptStatus.SUCCEEDED)


def charge_for_no_job() -> None:
    ledger.charge_job(user_id=UserFactory.create().pk, job_id=987_654, points=1, description="")


def refund_no_job() -> None:
    ledger.refund_job(user_id=UserFactory.create().pk, job_id=987_654, points=1, reason="")


def charge_for_no_job_beside_a_charge_that_calls_itself_a_gift() -> None:
    charge_for_no_job()
    job = JobFactory.create()
    unguarded("UPDATE payments_ledgerentry SET kind = 'grant' WHERE key = %s", f"job:{job.pk}:charge")


def forget_to_credit() -> None:
    Payment.objects.filter(pk=PaymentFactory.create().pk).update(status=PaymentStatus.SUCCEEDED)


def credit_other_points_than_promised() -> None:
    Payment.objects.filter(pk=PaymentFactory.create(status=PaymentStatus.SUCCEEDED).pk).update(points=1001)


def credit_what_was_not_paid() -> None:
    payment = PaymentFactory.create(status=PaymentStatus.SUCCEEDED)
    Payment.objects.filter(pk=payment.pk).update(status=PaymentStatus.CANCELED)


def credit_no_payment() -> None:
    user = UserFactory.create()
    ledger.post(user_id=user.pk, amount=7, kind=LedgerEntry.Kind.PAYMENT, key="payment:987654")


def forget_what_paid() -> None:
    Payment.objects.filter(pk=PaymentFactory.create(status=PaymentStatus.SUCCEEDED).pk).update(
        gateway_id=None
    )


def give_back_too_much() -> None:
    payment = PaymentFactory.create(status=PaymentStatus.SUCCEEDED)
    RefundFactory.create(payment=payment, amount=6000, points=600)
    RefundFactory.create(payment=payment, amount=4001, points=400, status=RefundStatus.SUCCEEDED)


def forget_to_take_points() -> None:
    payment = PaymentFactory.create(status=PaymentStatus.SUCCEEDED)
    Refund.objects.create(payment=payment, amount=100, points=10, reason="")


def keep_the_points_of_a_canceled_refund() -> None:
    Refund.objects.filter(pk=RefundFactory.create().pk).update(status=RefundStatus.CANCELED)


def return_points_of_a_refund_that_happened() -> None:
    refund = RefundFactory.create(status=RefundStatus.CANCELED)
    Refund.objects.filter(pk=refund.pk).update(status=RefundStatus.SUCCEEDED)


def take_points_for_no_refund() -> None:
    user = UserFactory.create()
    ledger.post(user_id=user.pk, amount=-7, kind=LedgerEntry.Kind.PAYMENT_REFUND, key="refund:987654")


def miscount_a_promo_code() -> None:
    promo = PromoCode.objects.create(code="MISCOUNTED", points=5)
    redeem_code(user=UserFactory.create(), code="miscounted")
    PromoCode.objects.filter(pk=promo.pk).update(uses=2)


def invite() -> Referral:
    return Referral.objects.create(inviter=UserFactory.create(), friend=UserFactory.create())


def forget_the_friends_reward() -> None:
    Referral.objects.filter(pk=invite().pk).update(rewarded_at=timezone.now())


def reward_who_invited_nobody() -> None:
    user = UserFactory.create()
    ledger.post(user_id=user.pk, amount=30, kind=LedgerEntry.Kind.REFERRAL, key="referral:987654:inviter")


def forget_a_delivery() -> None:
    DeliveryFactory.create(next_try_at=timezone.now() - 2 * LONG_AGO)


def lose_a_sender_for_hours() -> None:
    DeliveryFactory.create(
        lane=Lane.BULK, status=DeliveryStatus.SENDING, next_try_at=timezone.now() - 12 * LONG_AGO
    )


def end_a_delivery_at_no_time() -> None:
    DeliveryFactory.create(status=DeliveryStatus.SENT)


def end_a_delivery_that_waits() -> None:
    DeliveryFactory.create(finished_at=timezone.now())


def fail_a_delivery_for_no_reason() -> None:
    DeliveryFactory.create(status=DeliveryStatus.FAILED, finished_at=timezone.now())


def keep_the_end_of_an_edit_to_oneself() -> None:
    OrderFactory.create(job=JobFactory.create(status=JobStatus.CANCELLED), status=OrderStatus.SUBMITTED)


def forget_an_order() -> None:
    OrderFactory.create(next_try_at=timezone.now() - 2 * LONG_AGO)


def forget_an_update() -> None:
    IncomingUpdateFactory.create(next_try_at=timezone.now() - 2 * LONG_AGO)


def forget_a_webhook() -> None:
    WebhookDeliveryFactory.create(next_attempt_at=timezone.now() - 12 * LONG_AGO)


def end_a_webhook_at_no_time() -> None:
    WebhookDeliveryFactory.create(status="delivered")


def end_a_webhook_that_waits() -> None:
    WebhookDeliveryFactory.create(finished_at=timezone.now())


def fail_a_webhook_for_no_reason() -> None:
    WebhookDeliveryFactory.create(status="failed", finished_at=timezone.now())


def disable_an_endpoint_for_no_reason() -> None:
    EndpointFactory.create(disabled_at=timezone.now())


@dataclass(frozen=True)
class Fault:
    """What somebody did, and how many rows the audit must name under which invariants, and no others."""

    make: Callable[[], None]
    reported: dict[str, int]


SUM = "a balance is the sum of its ledger entries"
STRAY = "every charge and refund belongs to a job"
CHAIN = "each entry continues from the balance of the one before"
CHARGED = "every job is charged once"
CREDITED = "every payment that succeeded is credited once"
DELIVERED = "no delivery is left lying"
SAYS_WHEN = "a delivery says when it ended, exactly if it did"
WEBHOOK_SAYS_WHEN = "a webhook delivery says when it ended, exactly if it did"
STRAY_CREDIT = "every credit of a payment belongs to one"
ONE_ATTEMPT = "a running job has one attempt on a node"
FAULTS = [
    Fault(partial(change_balance, 61), {SUM: 1}),
    Fault(change_balance_and_its_newest_entry, {SUM: 1, CHAIN: 1}),
    Fault(partial(change_balance, -5), {SUM: 1, "no balance is below zero": 1}),
    Fault(break_the_chain, {CHAIN: 2}),
    Fault(lose_the_welcome, {"every user has their welcome entry": 1}),
    Fault(drop_a_trigger, {"the database refuses to change entries": 1}),
    Fault(forget_to_charge, {CHARGED: 1}),
    Fault(change_the_price, {CHARGED: 1, STRAY: 1}),
    Fault(charge_somebody_else, {CHARGED: 1, STRAY: 1}),
    Fault(charge_for_no_job_beside_a_charge_that_calls_itself_a_gift, {CHARGED: 1, STRAY: 1}),
    Fault(fail_without_refund, {"a failed or cancelled job is refunded": 1}),
    Fault(refund_a_success, {"no other job is refunded": 1}),
    Fault(run_without_attempt, {ONE_ATTEMPT: 1}),
    Fault(run_twice_at_once, {ONE_ATTEMPT: 1}),
    Fault(queue_what_runs, {"a queued job has none": 1}),
    Fault(forget_an_attempt, {"nobody follows the attempt of a finished job": 1}),
    Fault(abandon_a_job, {"no job runs without a runner": 1}),
    Fault(lose_the_result, {"a successful job has its result": 1}),
    Fault(finish_at_no_time, {"a finished job says when": 1}),
    Fault(succeed_twice, {"no job succeeded twice": 1}),
    Fault(charge_for_no_job, {STRAY: 1}),
    Fault(refund_no_job, {STRAY: 1}),
    Fault(forget_to_credit, {CREDITED: 1}),
    Fault(credit_other_points_than_promised, {CREDITED: 1, STRAY_CREDIT: 1}),
    Fault(credit_what_was_not_paid, {"no other payment is credited": 1}),
    Fault(credit_no_payment, {STRAY_CREDIT: 1}),
    Fault(forget_what_paid, {"every payment that succeeded names the money": 1}),
    Fault(give_back_too_much, {"no more is given back than was paid": 1}),
    Fault(forget_to_take_points, {"every refund took its points": 1}),
    Fault(keep_the_points_of_a_canceled_refund, {"a canceled refund gave its points back": 1}),
    Fault(return_points_of_a_refund_that_happened, {"no other refund gave points back": 1}),
    Fault(take_points_for_no_refund, {"every entry of a refund belongs to one": 1}),
    Fault(miscount_a_promo_code, {"a promo code counts its redemptions": 1}),
    Fault(forget_the_friends_reward, {"a friend who was rewarded has the points": 1}),
    Fault(reward_who_invited_nobody, {"every reward belongs to an invitation that earned it": 1}),
    Fault(forget_a_delivery, {DELIVERED: 1}),
    Fault(lose_a_sender_for_hours, {DELIVERED: 1}),
    Fault(end_a_delivery_at_no_time, {SAYS_WHEN: 1}),
    Fault(end_a_delivery_that_waits, {SAYS_WHEN: 1}),
    Fault(fail_a_delivery_for_no_reason, {"a delivery that failed says why": 1}),
    Fault(keep_the_end_of_an_edit_to_oneself, {"whoever ordered an edit is told of its end": 1}),
    Fault(forget_an_order, {"no order is left lying": 1}),
    Fault(forget_an_update, {"no update is left lying": 1}),
    Fault(forget_a_webhook, {"no webhook is left lying": 1}),
    Fault(end_a_webhook_at_no_time, {WEBHOOK_SAYS_WHEN: 1}),
    Fault(end_a_webhook_that_waits, {WEBHOOK_SAYS_WHEN: 1}),
    Fault(fail_a_webhook_for_no_reason, {"a webhook delivery that failed says why": 1}),
    Fault(
        disable_an_endpoint_for_no_reason,
        {"a webhook that is disabled says why, and no other does": 1},
    ),
]


def name_of(fault: Fault) -> str:
    """Name a fault after its function, for the test's id."""
    make: Any = fault.make
    return str(getattr(make, "__name__", None) or f"{make.func.__name__}-{make.args[0]}")
