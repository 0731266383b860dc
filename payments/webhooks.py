"""YooKassa's notifications: taken into the inbox at once, processed from what the gateway says itself.

    POST ──▶ receive ──▶ row, wake-up, 200 ──▶ process_notification ──▶ fetch ──▶ apply what was fetched

A notification is a hint: of its text only the event's name and the object's id are read. Whatever is not 200
is delivered again for 24 hours, so that rubbish from YooKassa's own networks is kept, answered and closed.
Knows nothing of HTTP.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from ipaddress import ip_address
from typing import Any, ClassVar

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from payments import networks
from payments.gateways.base import GatewayError, GatewayUnavailable, NotFoundAtGateway
from payments.gateways.registry import gateway_for, is_sandbox
from payments.matching import refund_of, settle_payment
from payments.models import Notification, Payment
from payments.refunds import note_remote_refund
from payments.wakeups import wake_inbox
from qwenedit.errors import DomainError
from qwenedit.logs import report

logger = structlog.get_logger(__name__)

LARGEST_BODY = 64 * 1024
KEPT_OF_RUBBISH = 1000  # characters
LONGEST_OUTCOME = 200
EVENT = re.compile(r"(?=.{1,60}\Z)[a-z_]+\.[a-z_.]+")
OBJECT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
KINDS = ("payment", "refund")

INTERVALS = tuple(timedelta(seconds=s) for s in (10, 30, 60, 120, 300, 600, 1800, 3600))
# A new object may be announced before the gateway's own copies all know it.
FORGED_AFTER = timedelta(minutes=10)


class UntrustedSender(DomainError):
    """The notification did not come from YooKassa's networks."""

    code: ClassVar[str] = "forbidden"
    status: ClassVar[int] = 403


class NotificationTooLarge(DomainError):
    """No notification of YooKassa's is that long."""

    code: ClassVar[str] = "too_large"
    status: ClassVar[int] = 413


@dataclass(frozen=True)
class Hint:
    """What is read of a notification: which object to ask for. `problem` says why there is none."""

    event: str = ""
    object_id: str = ""
    problem: str = ""


def receive(body: bytes, address: str | None) -> Notification:
    """Keep a notification and wake a worker once it is committed.

    `address` is the sender's, None where it can not be trusted; no more than LARGEST_BODY + 1 bytes of the
    body need be given. Raises UntrustedSender, which leaves no trace in the database, and
    NotificationTooLarge, which leaves a short one.
    """
    address = _trusted(address)
    too_large = len(body) > LARGEST_BODY
    hint = Hint(problem=f"more than {LARGEST_BODY} bytes") if too_large else read(body)
    now = timezone.now()
    text = body[: LARGEST_BODY if not hint.problem else 4 * KEPT_OF_RUBBISH].decode("utf-8", "replace")
    notification = Notification.objects.create(
        gateway=Payment.Gateway.YOOKASSA,
        event=hint.event,
        object_id=hint.object_id,
        address=address,
        body=text.replace("\0", "\N{REPLACEMENT CHARACTER}")[: KEPT_OF_RUBBISH if hint.problem else None],
        received_at=now,
        next_try_at=now + INTERVALS[0],
        processed_at=now if hint.problem else None,
        outcome=hint.problem[:LONGEST_OUTCOME],
    )
    fields = {"notification_id": notification.pk, "event_name": hint.event, "object_id": hint.object_id}
    if hint.problem:
        logger.warning("Payment notification ignored", **fields, address=address, reason=hint.problem)
    else:
        logger.info("Payment notification received", **fields, address=address)
        transaction.on_commit(partial(wake_inbox, notification.pk))
    if too_large:
        raise NotificationTooLarge(f"A notification has at most {LARGEST_BODY} bytes.")
    return notification


def read(body: bytes) -> Hint:
    """Read the event and the object's id; whatever else a notification claims is asked for, not believed."""
    try:
        content: Any = json.loads(body)
        event, object_id = content["event"], content["object"]["id"]
        understood = bool(EVENT.fullmatch(event) and OBJECT_ID.fullmatch(object_id))
    except (ValueError, TypeError, KeyError, RecursionError):
        understood = False
    if not understood:
        return Hint(problem="not a notification")
    problem = "" if event.partition(".")[0] in KINDS else "an event of no concern"
    return Hint(event, object_id, problem)


def process_notification(notification_id: int) -> None:
    """Process a notification. Where the gateway does not answer it stays in the inbox for the sweep."""
    try:
        try_notification(notification_id)
    except GatewayUnavailable as error:
        logger.warning(
            "Payment notification waits for the gateway",
            notification_id=notification_id,
            reason=error.detail or error.message,
        )


def try_notification(notification_id: int) -> None:
    """Ask the gateway for what a notification is about, act on the answer, and close the notification.

    Nothing happens where it is closed, or somebody else tries it at this moment. Raises GatewayUnavailable.
    """
    now = timezone.now()
    notification = _claim(notification_id, now)
    if notification is None:
        return
    try:
        outcome, payment = _follow(notification)
    except NotFoundAtGateway:
        if now - notification.received_at < FORGED_AFTER:
            return
        outcome, payment = "forged: the gateway knows no such object", None
    except GatewayUnavailable:
        raise
    except GatewayError as error:  # our keys are refused, say: that is for the operator to mend
        logger.warning(
            "Payment notification can not be processed",
            notification_id=notification.pk,
            reason=error.detail or error.message,
        )
        return
    closed = Notification.objects.open().filter(pk=notification.pk)
    if closed.update(processed_at=timezone.now(), outcome=outcome[:LONGEST_OUTCOME]):
        _log(notification, outcome, payment)


def _trusted(address: str | None) -> str:
    if address is not None:
        ours = settings.YOOKASSA_WEBHOOK_NETWORKS or networks.YOOKASSA_NETWORKS
        if networks.is_trusted(address, ours) or (is_sandbox() and ip_address(address).is_loopback):
            return address
    logger.warning("Payment notification refused: not from YooKassa's networks", address=address)
    raise UntrustedSender("Notifications are taken from YooKassa's networks alone.")


def _claim(notification_id: int, now: datetime) -> Notification | None:
    notification = Notification.objects.open().filter(pk=notification_id).first()
    if notification is None:
        return None
    unchanged = Notification.objects.open().filter(pk=notification_id, tries=notification.tries)
    interval = INTERVALS[min(notification.tries, len(INTERVALS) - 1)]
    claimed = unchanged.update(tries=F("tries") + 1, next_try_at=now + interval)
    return notification if claimed else None


def _follow(notification: Notification) -> tuple[str, Payment | None]:
    gateway = gateway_for(notification.gateway)
    if notification.event.startswith("payment."):
        remote = gateway.fetch(notification.object_id)
        payment = settle_payment(remote)
        if payment is None:
            return f"{remote.status} at the gateway, unknown here", None
        return f"{remote.status} at the gateway, {payment.status} here", payment
    remote_refund = gateway.fetch_refund(notification.object_id)
    note_remote_refund(remote_refund)
    refund = refund_of(remote_refund)
    if refund is None:
        return f"refund {remote_refund.status} at the gateway, unknown here", None
    return f"refund {remote_refund.status} at the gateway, {refund.status} here", refund.payment


def _log(notification: Notification, outcome: str, payment: Payment | None) -> None:
    fields: dict[str, Any] = {"notification_id": notification.pk, "event_name": notification.event}
    if payment is not None:
        fields |= {
            "payment_id": payment.pk,
            "user_id": payment.user_id,
            "amount": f"{payment.amount} kopeks",
            "status": payment.status,
        }
    fields |= {"yukassa_id": notification.object_id, "outcome": outcome}
    report(logger, "Payment notification processed", fields)
