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
from django.conf import settings
from django.core.cache import cache
from django.db.models import QuerySet
from redis.exceptions import RedisError

from payments import discrepancies, stars
from payments.amounts import STARS
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
    """Ask for the pending payments whose time has come; return for how many.

    An invoice for Stars is not asked for: Telegram tells of its payment in the chat.
    """
    due = Payment.objects.to_check(now).filter(gateway=Payment.Gateway.YOOKASSA)[:BATCH]
    return _sweep("payments", due, check_payment)


def check_due_refunds(now: datetime) -> int:
    """Ask for the pending refunds whose time has come; return for how many."""
    due = Refund.objects.to_check(now).select_related("payment")
    # Each gateway has its own sweep: one that is down does not stop those after it.
    return sum(
        _sweep(f"refunds:{name}", due.filter(payment__gateway=name)[:BATCH], check_refund)
        for name in Payment.Gateway
    )


def sweep_notifications(now: datetime) -> int:
    """Try again what the inbox still holds; return how many notifications were tried."""
    due = Notification.objects.to_try(now)[:BATCH]
    return _sweep("notifications", due, lambda notification: try_notification(notification.pk))


def gateways_in_use() -> list[Payment.Gateway]:
    """Return the gateways that are switched on, and those that were while somebody paid."""
    is_on = {
        Payment.Gateway.YOOKASSA: settings.YOOKASSA_ENABLED,
        Payment.Gateway.STARS: settings.STARS_ENABLED,
    }
    return [name for name in Payment.Gateway if is_on[name] or Payment.objects.filter(gateway=name).exists()]


def compare_each(since: datetime, until: datetime) -> dict[Payment.Gateway, Comparison]:
    """Compare with every gateway in use, also where one before it fails. Raises the first GatewayError."""
    compared: dict[Payment.Gateway, Comparison] = {}
    failures: list[GatewayError] = []
    for name in gateways_in_use():
        try:
            compared[name] = compare(since, until, name)
        except GatewayError as error:
            logger.warning(
                "Payments could not be compared with the gateway",
                gateway=str(name),
                reason=error.detail or error.message,
            )
            failures.append(error)
    if failures:
        raise failures[0]
    return compared


def compare(since: datetime, until: datetime, name: Payment.Gateway = Payment.Gateway.YOOKASSA) -> Comparison:
    """Compare what was created in [since, until) at a gateway and here, both ways.

    Repeating it changes nothing. Raises GatewayUnavailable and other GatewayErrors; what was found until
    then stays.
    """
    gateway = gateway_for(name)
    known = Discrepancy.objects.count()
    window = {"created_at__gte": since, "created_at__lt": until}
    credited = 0
    payment_ids: set[str] = set()
    for remote in gateway.list_payments(since=since, until=until):
        payment_ids.add(remote.id)
        credited += _compare_payment(gateway, remote)
    credited_here = Payment.objects.filter(gateway=name, status=PaymentStatus.SUCCEEDED, **window)
    for payment in credited_here.iterator():
        if payment.gateway_id not in payment_ids:
            _look_for_payment(gateway, payment)
    refund_ids: set[str] = set()
    for remote_refund in gateway.list_refunds(since=since, until=until):
        refund_ids.add(remote_refund.id)
        _compare_refund(gateway, remote_refund)
    given_back_here = Refund.objects.filter(payment__gateway=name, status=RefundStatus.SUCCEEDED, **window)
    for refund in given_back_here.select_related("payment").iterator():
        if refund.gateway_id not in refund_ids:
            _look_for_refund(gateway, refund, str(refund.gateway_id))
    found = Discrepancy.objects.count() - known
    logger.info(
        "Payments compared with the gateway",
        gateway=str(name),
        since=since.isoformat(),
        until=until.isoformat(),
        payments=len(payment_ids),
        refunds=len(refund_ids),
        credited=credited,
        discrepancies=found,
    )
    return Comparison(len(payment_ids), len(refund_ids), credited, found)


def _compare_payment(gateway: Gateway, remote: RemotePayment) -> bool:
    """Settle a payment of the gateway's list; return whether that credited it."""
    payment = payment_of(remote)
    if payment is None or payment.status != PaymentStatus.SUCCEEDED:
        settled = stars.settle(remote) if remote.currency == STARS else settle_payment(remote)
        return settled is not None and settled.status == PaymentStatus.SUCCEEDED
    if _difference(payment, remote):
        _look_for_payment(gateway, payment)
    return False


def _difference(payment: Payment, remote: RemotePayment) -> tuple[Discrepancy.Kind, str] | None:
    if remote.status is not RemoteStatus.SUCCEEDED:
        return Discrepancy.Kind.STATUS, f"{remote.status} at the gateway, credited here"
    problem = mismatch(payment, remote)
    return (Discrepancy.Kind.MISMATCH, problem) if problem else None


def _look_for_payment(gateway: Gateway, payment: Payment) -> None:
    """Ask for a credited payment that the list has not, or has otherwise: lists may be older than rows."""
    gateway_id = str(payment.gateway_id)
    try:
        remote = gateway.fetch(gateway_id)
    except NotFoundAtGateway:
        discrepancies.record(
            Discrepancy.Kind.MISSING, gateway_id, "credited here, unknown at the gateway", payment=payment
        )
        return
    if difference := _difference(payment, remote):
        kind, detail = difference
        discrepancies.record(kind, remote.id, detail, payment=payment, raw=dict(remote.raw))


def _compare_refund(gateway: Gateway, remote: RemoteRefund) -> None:
    note_remote_refund(remote)
    refund = refund_of(remote)
    if refund is not None and not _agrees(refund, remote):
        _look_for_refund(gateway, refund, remote.id)


def _agrees(refund: Refund, remote: RemoteRefund) -> bool:
    final = (RemoteStatus.SUCCEEDED, RemoteStatus.CANCELED)
    return refund.status == remote.status or (
        refund.status == RefundStatus.PENDING and remote.status not in final
    )


def _look_for_refund(gateway: Gateway, refund: Refund, gateway_id: str) -> None:
    try:
        remote = gateway.fetch_refund(gateway_id)
    except NotFoundAtGateway:
        discrepancies.record(
            Discrepancy.Kind.MISSING,
            gateway_id,
            "refunded here, unknown at the gateway",
            payment=refund.payment,
        )
        return
    if not _agrees(refund, remote):
        discrepancies.record(
            Discrepancy.Kind.STATUS,
            remote.id,
            f"refund {remote.status} at the gateway, {refund.status} here",
            payment=refund.payment,
            raw=dict(remote.raw),
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
