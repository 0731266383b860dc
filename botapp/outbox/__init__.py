"""What the bot owes to chats: rows of `Delivery`, from the transaction that causes them to their end.

    owe ──▶ pending ──claim──▶ sending ──▶ sent
               ▲                  │├─────▶ failed, with the reason
               └── later, again ──┘└─────▶ cancelled

A claim is a lease: whoever stops renewing it loses the row to the next worker. Every change is one
conditional UPDATE under the lease's token. Knows nothing of Telegram, of words and of how fast one may speak.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from botapp.models import Broadcast, Chat, Delivery, DeliveryStatus, Lane
from botapp.wakeups import wake_outbox

logger = structlog.get_logger(__name__)

LEASE = timedelta(seconds=20)
# Bulk of one source that waits here; the rest waits where it came from, so that this table stays small.
MOST_WAITING = 20 * max(100, settings.BOT_MESSAGES_PER_SECOND)
KEPT = timedelta(days=30)
PURGE_BATCH = 2_000
LONGEST_REASON = 200

# What many rows have in common is given, what each has of its own is selected.
OWE_EACH = """
INSERT INTO botapp_delivery (chat_id, subject, key, lane, kind, broadcast_id, status, tries, next_try_at,
    is_begun, failure, created_at)
WITH chosen (chat_id, subject, key) AS ({chosen})
SELECT chat_id, subject, key, %s, %s, %s, %s, 0, %s, %s, '', %s FROM chosen WHERE 1 = 1
ON CONFLICT (key) DO NOTHING
"""


class NotYet(Exception):
    """Nothing can be said for so many seconds; the wait is no failed try."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not for {seconds:.1f} seconds")
        self.seconds = seconds


class Pointless(Exception):
    """There is nothing to say any more: the delivery is cancelled."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OutcomeUnknown(Exception):
    """A call that must not be repeated blindly may have happened: the delivery ends as failed."""


class LeaseLost(Exception):
    """Somebody else took the delivery over, or it has ended."""


def owe(
    *,
    chat_id: int,
    kind: str,
    lane: Lane,
    key: str,
    subject: int | None = None,
    broadcast: Broadcast | None = None,
) -> None:
    """Write one delivery in the caller's transaction; a worker hears of it after the commit.

    `key` names its cause: the same one a second time does nothing.
    """
    row = Delivery(chat_id=chat_id, kind=kind, lane=lane, key=key, subject=subject, broadcast=broadcast)
    Delivery.objects.bulk_create([row], ignore_conflicts=True)
    transaction.on_commit(wake_outbox)


def owe_each(chosen: QuerySet[Any, Any], *, kind: str, broadcast: Broadcast | None = None) -> int:
    """Write bulk deliveries for a query of (chat, subject, key), in one statement; return how many.

    Runs in the caller's transaction. Keep what it selects bounded.
    """
    sql, parameters = chosen.query.sql_with_params()
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    common = (Lane.BULK.value, kind, broadcast.pk if broadcast else None, DeliveryStatus.PENDING.value)
    with connection.cursor() as cursor:
        cursor.execute(OWE_EACH.format(chosen=sql), (*parameters, *common, now, False, now))
        return int(cursor.rowcount)


@dataclass(frozen=True)
class Claim:
    """Deliveries that are ours to send until the lease runs out."""

    token: uuid.UUID
    deliveries: list[Delivery]


def claim(lanes: Iterable[Lane], *, most: int) -> Claim | None:
    """Take up to `most` due deliveries of these lanes, the most urgent first; None where nothing is due.

    A row whose lease ran out is due: its worker is gone. Each claim counts as a try.
    """
    now = timezone.now()
    token = uuid.uuid4()
    due = Delivery.objects.due(now).filter(lane__in=list(lanes))
    with transaction.atomic():
        chosen = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:most])
        taken = Delivery.objects.due(now).filter(pk__in=chosen).order_by()
        if not chosen or not taken.update(
            status=DeliveryStatus.SENDING, lease_token=token, next_try_at=now + LEASE, tries=F("tries") + 1
        ):
            return None
    rows = Delivery.objects.filter(pk__in=chosen, lease_token=token)
    return Claim(token, list(rows.order_by("lane", "created_at", "id")))


def is_due(lanes: Iterable[Lane], now: datetime) -> bool:
    """Tell whether anything should be sent now."""
    return Delivery.objects.due(now).filter(lane__in=list(lanes)).order_by().exists()


def waiting_bulk(*, broadcast: Broadcast | None, most: int) -> int:
    """Return how many bulk deliveries of a broadcast, or of none, are open; counts no further than `most`."""
    rows = Delivery.objects.unfinished().filter(lane=Lane.BULK, broadcast=broadcast)
    return rows.order_by().values("pk")[:most].count()


def renew(claim: Claim) -> None:
    """Keep the lease of what is not finished yet for another while."""
    held = Delivery.objects.filter(
        pk__in=[row.pk for row in claim.deliveries], status=DeliveryStatus.SENDING, lease_token=claim.token
    )
    held.update(next_try_at=timezone.now() + LEASE)


def begin(delivery: Delivery) -> None:
    """Note, for good, that a call begins that must not be repeated blindly. Raises LeaseLost."""
    _change(delivery, is_begun=True)
    delivery.is_begun = True


def finish(
    delivery: Delivery, status: DeliveryStatus, *, reason: str = "", message_id: int | None = None
) -> None:
    """End a delivery. Raises LeaseLost."""
    _change(
        delivery,
        status=status,
        failure=reason[:LONGEST_REASON],
        message_id=message_id,
        finished_at=timezone.now(),
        lease_token=None,
    )


def postpone(delivery: Delivery, seconds: float, *, is_try: bool, is_begun: bool) -> None:
    """Put a delivery back for later. Raises LeaseLost."""
    _change(
        delivery,
        status=DeliveryStatus.PENDING,
        next_try_at=timezone.now() + timedelta(seconds=seconds),
        tries=delivery.tries if is_try else delivery.tries - 1,
        is_begun=is_begun,
        lease_token=None,
    )


def chat_is_gone(delivery: Delivery, reason: str) -> None:
    """End a delivery to somebody who can not be reached, and what bulk they would still be sent."""
    with transaction.atomic():
        finish(delivery, DeliveryStatus.FAILED, reason=reason)
        Chat.objects.filter(pk=delivery.chat_id).update(gone_at=timezone.now())
        others = Delivery.objects.filter(
            chat_id=delivery.chat_id, lane=Lane.BULK, status=DeliveryStatus.PENDING
        )
        others.update(status=DeliveryStatus.CANCELLED, failure=reason, finished_at=timezone.now())


def send_again(deliveries: QuerySet[Delivery]) -> int:
    """Give deliveries that failed another chance; return how many."""
    failed = deliveries.filter(status=DeliveryStatus.FAILED)
    again = failed.update(
        status=DeliveryStatus.PENDING,
        tries=0,
        next_try_at=timezone.now(),
        is_begun=False,
        failure="",
        finished_at=None,
    )
    transaction.on_commit(wake_outbox)
    return again


def purge(now: datetime) -> int:
    """Forget deliveries that ended long ago, in batches; return how many."""
    old = Delivery.objects.filter(finished_at__lt=now - KEPT).order_by("finished_at")
    purged = 0
    while batch := list(old.values_list("pk", flat=True)[:PURGE_BATCH]):
        purged += Delivery.objects.filter(pk__in=batch).delete()[0]
    return purged


def _change(delivery: Delivery, **fields: Any) -> None:
    held = Delivery.objects.filter(
        pk=delivery.pk, status=DeliveryStatus.SENDING, lease_token=delivery.lease_token
    )
    if not held.update(**fields):
        raise LeaseLost
