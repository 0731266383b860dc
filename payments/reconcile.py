"""Finding out what nobody told us: sweeps of what is open, and the gateway's lists against our rows.

Sweeps ask for one row after another and stop where the gateway does not answer, so that an outage holds one
thread and not all of them. The comparison credits what was paid and writes down what it can not explain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog
from django.core.cache import cache
from django.db.models import QuerySet
from redis.exceptions import RedisError

from payments import discrepancies
from payments.gateways.base import (
    Gateway,
    GatewayError,
    NotFoundAtGateway,
    RemotePayment,
    RemoteRefund,
    RemoteStatus,
)
from payments.gateways.registry import gateway_for
from payments.matching import payment_of, refund_of, settle_payment
from payments.models import Discrepancy, Notification, Payment, PaymentStatus, Refund, RefundStatus
from payments.refunds import check_refund, note_remote_refund
from payments.services import check_payment, mismatch
from payments.webhooks import try_notification

logger = structlog.get_logger(__name__)

BATCH = 100
# A failure may concern one row alone; so many one after another are an outage.
FAILURES_OF_AN_OUTAGE = 3
TURN_SECONDS = 60  # after which a sweep that died no longer keeps the next one away
Row = TypeVar("Row", Payment, Refund, Notification)


@dataclass(frozen=True)
class Comparison:
    """What a comparison saw, and how much of it was news."""

    payments: int
    refunds: int
    credited: int
    discrepancies: int


def check_due_payments(now: datetime) -> int:
    """Ask for the pending payments whose time has come; return for how many."""
    due = Payment.objects.to_check(now).filter(gateway=Payment.Gateway.YOOKASSA)[:BATCH]
    return _sweep("payments", due, check_payment)


def check_due_refunds(now: datetime) -> int:
    """Ask for the pending refunds whose time has come; return for how many."""
    due = Refund.objects.to_check(now).filter(payment__gateway=Payment.Gateway.YOOKASSA)
    return _sweep("refunds", due.select_related("payment")[:BATCH], check_refund)


def sweep_notifications(now: datetime) -> int:
    """Try again what the inbox still holds; return how many notifications were tried."""
    due = Notification.objects.to_try(now)[:BATCH]
    return _sweep("notifications", due, lambda notification: try_notification(notification.pk))


def compare(since: datetime, until: datetime) -> Comparison:
    """Compare what was created in [since, until) at the gateway and here, both ways.

    Repeating it changes nothing. Raises GatewayUnavailable and other GatewayErrors; what was found until
    then stays.
    """
    gateway = gateway_for(Payment.Gateway.YOOKASSA)
    known = Discrepancy.objects.count()
    window = {"created_at__gte": since, "created_at__lt": until}
    credited = 0
    payment_ids: set[str] = set()
    for remote in gateway.list_payments(since=since, until=until):
        payment_ids.add(remote.id)
        credited += _compare_payment(remote)
    credited_here = Payment.objects.filter(
        gateway=Payment.Gateway.YOOKASSA, status=PaymentStatus.SUCCEEDED, **window
    )
    for payment in credited_here.iterator():
        if payment.gateway_id not in payment_ids:
            _look_for_payment(gateway, payment)
    refund_ids: set[str] = set()
    for remote_refund in gateway.list_refunds(since=since, until=until):
        refund_ids.add(remote_refund.id)
        _compare_refund(remote_refund)
    given_back_here = Refund.objects.filter(
        payment__gateway=Payment.Gateway.YOOKASSA, status=RefundStatus.SUCCEEDED, **window
    )
    for refund in given_back_here.select_related("payment").iterator():
        if refund.gateway_id not in refund_ids:
            _look_for_refund(gateway, refund)
    found = Discrepancy.objects.count() - known
    logger.info(
        "Payments compared with the gateway",
        since=since.isoformat(),
        until=until.isoformat(),
        payments=len(payment_ids),
        refunds=len(refund_ids),
        credited=credited,
        discrepancies=found,
    )
    return Comparison(len(payment_ids), len(refund_ids), credited, found)


def _compare_payment(remote: RemotePayment) -> bool:
    """Settle a payment of the gateway's list; return whether that credited it."""
    payment = payment_of(remote)
    if payment is None or payment.status != PaymentStatus.SUCCEEDED:
        settled = settle_payment(remote)
        return settled is not None and settled.status == PaymentStatus.SUCCEEDED
    _compare_credited(payment, remote)
    return False


def _compare_credited(payment: Payment, remote: RemotePayment) -> None:
    raw = dict(remote.raw)
    if remote.status is not RemoteStatus.SUCCEEDED:
        detail = f"{remote.status} at the gateway, credited here"
        discrepancies.record(Discrepancy.Kind.STATUS, remote.id, detail, payment=payment, raw=raw)
    elif problem := mismatch(payment, remote):
        discrepancies.record(Discrepancy.Kind.MISMATCH, remote.id, problem, payment=payment, raw=raw)


def _look_for_payment(gateway: Gateway, payment: Payment) -> None:
    """Ask for a credited payment that the list did not name: it may have been created beside the window."""
    gateway_id = str(payment.gateway_id)
    try:
        _compare_credited(payment, gateway.fetch(gateway_id))
    except NotFoundAtGateway:
        discrepancies.record(
            Discrepancy.Kind.MISSING, gateway_id, "credited here, unknown at the gateway", payment=payment
        )


def _compare_refund(remote: RemoteRefund) -> None:
    note_remote_refund(remote)
    refund = refund_of(remote)
    if refund is not None:
        _compare_status(refund, remote)


def _compare_status(refund: Refund, remote: RemoteRefund) -> None:
    final = (RemoteStatus.SUCCEEDED, RemoteStatus.CANCELED)
    if refund.status == remote.status or (
        refund.status == RefundStatus.PENDING and remote.status not in final
    ):
        return
    discrepancies.record(
        Discrepancy.Kind.STATUS,
        remote.id,
        f"refund {remote.status} at the gateway, {refund.status} here",
        payment=refund.payment,
        raw=dict(remote.raw),
    )


def _look_for_refund(gateway: Gateway, refund: Refund) -> None:
    gateway_id = str(refund.gateway_id)
    try:
        _compare_status(refund, gateway.fetch_refund(gateway_id))
    except NotFoundAtGateway:
        discrepancies.record(
            Discrepancy.Kind.MISSING,
            gateway_id,
            "refunded here, unknown at the gateway",
            payment=refund.payment,
        )


def _sweep(name: str, due: QuerySet[Row], check: Callable[[Row], object]) -> int:
    with _turn(name) as is_ours:
        if not is_ours:
            return 0
        tried = failures = 0
        for row in due:
            tried += 1
            try:
                check(row)
            except GatewayError as error:
                failures += 1
                reason = error.detail or error.message
                logger.warning(
                    "A row could not be checked at the gateway", sweep=name, row_id=row.pk, reason=reason
                )
            except Exception:
                failures += 1
                logger.exception("A sweep could not deal with a row", sweep=name, row_id=row.pk)
            else:
                failures = 0
            if failures == FAILURES_OF_AN_OUTAGE:
                break
        return tried


@contextmanager
def _turn(name: str) -> Iterator[bool]:
    """Give one sweep of a name its turn: ticks come faster than a silent gateway answers."""
    key = f"payments:sweep:{name}"
    try:
        is_ours = bool(cache.add(key, 1, timeout=TURN_SECONDS))
    except RedisError:
        is_ours = True  # two at once only ask twice
    try:
        yield is_ours
    finally:
        if is_ours:
            with suppress(RedisError):
                cache.delete(key)
