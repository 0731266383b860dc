"""What is owed to receivers: rows of `Delivery`, from the transaction that causes them to their end.

    owe ──▶ pending ──claim──▶ sending ──▶ delivered
               ▲                  │├─────▶ failed, with the reason
               ├── later, again ──┘└─────▶ cancelled
               └── redeliver ◀── any end

A claim is a lease: whoever is not done when it runs out loses the row to the next worker, and its late
writes change nothing. A channel (an endpoint, or all addresses of one user's edits) has AT_ONCE slots, held
by a unique index: one that is slow to answer holds no more threads than that. Knows no HTTP.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from qwenedit.errors import DomainError
from webhooks.models import (
    AT_ONCE,
    UNFINISHED,
    Delivery,
    DeliveryQuerySet,
    DeliveryStatus,
    Endpoint,
    JobUrlSecret,
)
from webhooks.wakeups import wake_outbox

LEASE = timedelta(seconds=40)  # a sending ends within some twenty; with the sweep, well under a minute
GIVE_UP_AFTER = timedelta(hours=24)
KEPT = timedelta(days=30)
PURGE_BATCH = 1_000
MOST_LOGGED = 40
MOST_COLLISIONS = 5
LONGEST_REASON = 200


class LeaseLost(Exception):
    """Somebody else took the delivery over, or it has ended or is gone."""


class StillUnderway(DomainError):
    """A delivery that is not finished is not sent anew."""

    code = "conflict"
    status = 409


def owe(
    *,
    user_id: int,
    event: str,
    payload: str,
    endpoints: Iterable[Endpoint] = (),
    url: str = "",
) -> list[Delivery]:
    """Write one delivery for each endpoint, and for `url`, in the caller's transaction.

    A worker hears of them after the commit.
    """
    now = timezone.now()
    common: dict[str, Any] = {
        "user_id": user_id,
        "event": event,
        "payload": payload,
        "created_at": now,
        "next_attempt_at": now,
        "gives_up_at": now + GIVE_UP_AFTER,
    }
    rows = [Delivery(endpoint=row, channel=f"endpoint:{row.pk}", **common) for row in endpoints]
    if url:
        JobUrlSecret.objects.get_or_create(user_id=user_id)
        rows.append(Delivery(url=url, channel=f"user:{user_id}", **common))
    transaction.on_commit(wake_outbox)
    return Delivery.objects.bulk_create(rows)


def claim() -> Delivery | None:
    """Take the due delivery that has waited longest and has a free slot, or None; with its endpoint.

    A row whose lease ran out is due: its worker is gone, and its log says so.
    """
    for _collision in range(MOST_COLLISIONS):
        try:
            with transaction.atomic():
                return _claim(timezone.now())
        except IntegrityError:
            continue  # another worker took the slot in this moment
    return None


def waiting(*, most: int) -> int:
    """Return how many deliveries could be claimed; counts no further than `most`."""
    return _claimable(timezone.now(), _taken_slots()).order_by().values("pk")[:most].count()


def _taken_slots() -> dict[str, set[int | None]]:
    taken: dict[str, set[int | None]] = defaultdict(set)
    for channel, slot in Delivery.objects.filter(status=DeliveryStatus.SENDING).values_list(
        "channel", "slot"
    ):
        taken[channel].add(slot)
    return taken


def _claimable(now: datetime, taken: dict[str, set[int | None]]) -> DeliveryQuerySet:
    full = [channel for channel, slots in taken.items() if len(slots) >= AT_ONCE]
    return Delivery.objects.due(now).filter(Q(status=DeliveryStatus.SENDING) | ~Q(channel__in=full))


def _claim(now: datetime) -> Delivery | None:
    taken = _taken_slots()
    due = _claimable(now, taken)
    delivery = due.select_for_update(skip_locked=True, of=("self",)).select_related("endpoint").first()
    if delivery is None:
        return None
    if delivery.status == DeliveryStatus.SENDING:  # left behind, with its slot
        began = delivery.next_attempt_at - LEASE
        _log(delivery, at=began, error="The worker was lost: whether this one arrived, nobody knows.")
    else:
        delivery.slot = min(set(range(AT_ONCE)) - taken[delivery.channel])
    delivery.status = DeliveryStatus.SENDING
    delivery.lease_token = uuid.uuid4()
    delivery.next_attempt_at = now + LEASE
    delivery.tries += 1
    delivery.save(update_fields=["status", "slot", "lease_token", "next_attempt_at", "tries", "attempts"])
    return delivery


def finish(delivery: Delivery, status: DeliveryStatus, *, failure: str = "", **attempt: Any) -> None:
    """End a delivery; `attempt` goes to its log. Raises LeaseLost."""
    _log(delivery, **attempt)
    _change(delivery, status=status, failure=failure[:LONGEST_REASON], finished_at=timezone.now())


def cancel(delivery: Delivery, reason: str) -> None:
    """End a delivery that is not sent after all. Raises LeaseLost."""
    _change(delivery, status=DeliveryStatus.CANCELLED, failure=reason, finished_at=timezone.now())


def postpone(delivery: Delivery, seconds: float, **attempt: Any) -> None:
    """Put a delivery back for later; `attempt` goes to its log. Raises LeaseLost."""
    _log(delivery, **attempt)
    later = timezone.now() + timedelta(seconds=seconds)
    _change(delivery, status=DeliveryStatus.PENDING, next_attempt_at=later)


def redeliver(delivery: Delivery) -> None:
    """Send a delivery that has ended once more, with the same id and payload. Raises StillUnderway."""
    ended = Delivery.objects.filter(pk=delivery.pk).exclude(status__in=UNFINISHED)
    if delivery.endpoint and not delivery.endpoint.enabled:
        raise StillUnderway("The webhook is disabled: enable it first.")
    now = timezone.now()
    with transaction.atomic():
        again = ended.update(
            status=DeliveryStatus.PENDING,
            tries=0,
            failure="",
            finished_at=None,
            next_attempt_at=now,
            gives_up_at=now + GIVE_UP_AFTER,
        )
        if not again:
            raise StillUnderway("The delivery is not finished: it will be sent anyway.")
        transaction.on_commit(wake_outbox)


def cancel_for(endpoint: Endpoint, reason: str) -> int:
    """Cancel what waits for an endpoint; return how many. What is being sent ends by itself."""
    waiting = Delivery.objects.filter(endpoint=endpoint, status=DeliveryStatus.PENDING)
    return waiting.update(status=DeliveryStatus.CANCELLED, failure=reason, finished_at=timezone.now())


def purge(now: datetime) -> int:
    """Forget deliveries that ended long ago, in batches; return how many."""
    old = Delivery.objects.filter(finished_at__lt=now - KEPT).order_by("finished_at")
    purged = 0
    while batch := list(old.values_list("pk", flat=True)[:PURGE_BATCH]):
        purged += Delivery.objects.filter(pk__in=batch).delete()[0]
    return purged


def _log(
    delivery: Delivery,
    *,
    at: datetime,
    error: str = "",
    status_code: int | None = None,
    duration_ms: int | None = None,
    body: str = "",
) -> None:
    entry = {
        "at": at.isoformat().replace("+00:00", "Z"),
        "status_code": status_code,
        "duration_ms": duration_ms,
        "error": error,
        "body": body,
    }
    delivery.attempts = [*delivery.attempts, entry][-MOST_LOGGED:]


def _change(delivery: Delivery, **fields: Any) -> None:
    held = Delivery.objects.filter(
        pk=delivery.pk, status=DeliveryStatus.SENDING, lease_token=delivery.lease_token
    )
    if not held.update(attempts=delivery.attempts, lease_token=None, slot=None, **fields):
        raise LeaseLost
    for name, value in fields.items():
        setattr(delivery, name, value)
