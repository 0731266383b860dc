"""Broadcasts: a message of staff's to a segment of the people who use the bot.

    draft ──start──▶ sending ──▶ finished      once nobody is left to write to
                        └──────▶ stopped       by staff, or because Telegram refuses the message itself

Starting is one conditional UPDATE; from then on `feed` writes deliveries in bounded steps, in the order of
the chats' ids, as fast as they are sent. Knows nothing of lanes and of pace.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

import structlog
from django.db import transaction
from django.db.models import BigIntegerField, CharField, Count, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from botapp import outbox
from botapp.models import Broadcast, BroadcastStatus, Chat, Delivery, DeliveryStatus
from botapp.outbox import OutcomeUnknown, Pointless, begin
from botapp.outbox.broadcast_message import check, send
from jobs.models import Job
from jobs.states import JobStatus
from payments.models import Payment, PaymentStatus
from qwenedit.errors import DomainError
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

Segment = Broadcast.Segment
STEP = 2_000
SEEN_LATELY = timedelta(days=30)
REFUSED = "refused: "  # how the reason begins where Telegram did not want a message
# Stopped are broadcasts that Telegram refuses to so many chats, and to a tenth of those it was tried for.
MOST_REFUSED = 10


class BroadcastBegun(DomainError):
    """The broadcast is no draft any more."""

    code: ClassVar[str] = "broadcast_begun"
    status: ClassVar[int] = 409


def audience(broadcast: Broadcast, now: datetime) -> QuerySet[Chat]:
    """Return the chats of a broadcast's segment that can be reached."""
    chats = Chat.objects.filter(
        gone_at=None, created_at__lte=now, user__is_active=True, user__is_blocked=False
    )
    paid = Payment.objects.filter(user=OuterRef("user"), status=PaymentStatus.SUCCEEDED)
    edited = Job.objects.filter(user=OuterRef("user"), status=JobStatus.SUCCEEDED)
    conditions: dict[str, Q] = {
        Segment.EVERYBODY: Q(),
        Segment.RUSSIAN: Q(user__language=User.Language.RUSSIAN),
        Segment.ENGLISH: Q(user__language=User.Language.ENGLISH),
        Segment.ACTIVE: Q(active_at__gte=now - SEEN_LATELY),
        Segment.AWAY: Q(active_at__lt=now - SEEN_LATELY),
        Segment.NEVER_EDITED: ~Q(Exists(edited)),
        Segment.PAID: Q(Exists(paid)),
    }
    return chats.filter(conditions[broadcast.segment])


def start(*, broadcast: Broadcast, staff_id: int | None) -> int:
    """Begin to send a draft; return to how many people.

    Raises InvalidBroadcast, or BroadcastBegun where it was started before.
    """
    check(broadcast)
    now = timezone.now()
    total = audience(broadcast, now).count()
    started = Broadcast.objects.filter(pk=broadcast.pk, status=BroadcastStatus.DRAFT).update(
        status=BroadcastStatus.SENDING, started_at=now, total=total
    )
    if not started:
        raise BroadcastBegun("The broadcast was started before.")
    logger.info("Broadcast started", broadcast_id=broadcast.pk, people=total, staff_id=staff_id)
    return total


def stop(*, broadcast_id: int, reason: str) -> bool:
    """Stop a broadcast and take back what was not sent yet; tell whether it was being sent."""
    stopped = Broadcast.objects.filter(pk=broadcast_id, status=BroadcastStatus.SENDING).update(
        status=BroadcastStatus.STOPPED,
        finished_at=timezone.now(),
        failure=reason[: outbox.LONGEST_REASON],
    )
    if not stopped:
        return False
    # From that update on no step writes more, and few of those that were written still wait.
    waiting = Delivery.objects.filter(broadcast_id=broadcast_id, status=DeliveryStatus.PENDING)
    waiting.update(
        status=DeliveryStatus.CANCELLED, failure="the broadcast was stopped", finished_at=timezone.now()
    )
    count(broadcast_id)
    logger.warning("Broadcast stopped", broadcast_id=broadcast_id, reason=reason)
    return True


def feed(*, most_waiting: int) -> int:
    """Write deliveries of the broadcasts that are being sent, while few of each wait; return how many."""
    written = 0
    for broadcast in Broadcast.objects.filter(status=BroadcastStatus.SENDING).order_by("pk"):
        room = most_waiting - outbox.waiting_bulk(broadcast=broadcast, most=most_waiting)
        while room > 0:
            step = _write_step(broadcast.pk)
            if step is None:
                _finish_if_done(broadcast)
                break
            written += step
            room -= STEP
        count(broadcast.pk)
    return written


def count(broadcast_id: int) -> None:
    """Bring the numbers that staff see up to date."""
    ended = Delivery.objects.filter(broadcast_id=broadcast_id).order_by().values_list("status")
    counts = dict(ended.annotate(count=Count("pk")))
    Broadcast.objects.filter(pk=broadcast_id).update(
        sent=counts.get(DeliveryStatus.SENT, 0),
        failed=counts.get(DeliveryStatus.FAILED, 0),
        cancelled=counts.get(DeliveryStatus.CANCELLED, 0),
    )


def note_refusal(broadcast_id: int) -> None:
    """Stop a broadcast that Telegram refuses to more than a few: the message is wrong, not the chats."""
    ended = (DeliveryStatus.SENT, DeliveryStatus.FAILED)
    tried = Delivery.objects.filter(broadcast_id=broadcast_id, status__in=ended)
    refused = tried.filter(status=DeliveryStatus.FAILED, failure__startswith=REFUSED)
    reasons = list(refused.values_list("failure", flat=True))
    if len(reasons) >= MOST_REFUSED and len(reasons) * 10 >= tried.count():
        stop(broadcast_id=broadcast_id, reason=reasons[-1])


def send_delivery(delivery: Delivery) -> int:
    """Send one delivery of a broadcast; once at most, for nobody would miss it."""
    # Asked anew: it may have been stopped since the delivery was claimed.
    broadcast = Broadcast.objects.filter(deliveries=delivery, status=BroadcastStatus.SENDING).first()
    if broadcast is None:
        raise Pointless("the broadcast was stopped")
    if delivery.is_begun:
        raise OutcomeUnknown
    chat = Chat.objects.select_related("user").filter(pk=delivery.chat_id).first()
    if chat is None:
        raise Pointless("the chat was deleted")
    return send(broadcast, chat.pk, chat.user.language, before=lambda: begin(delivery))


def _write_step(broadcast_id: int) -> int | None:
    """Write the deliveries of the next chats and return how many; None where nobody is left."""
    with transaction.atomic():
        broadcast = (
            Broadcast.objects.select_for_update(skip_locked=True)
            .filter(pk=broadcast_id, status=BroadcastStatus.SENDING)
            .first()
        )
        if broadcast is None:  # stopped meanwhile, or somebody else is at it
            return 0
        chats = audience(broadcast, broadcast.started_at or broadcast.created_at)
        if broadcast.last_chat_id is not None:
            chats = chats.filter(pk__gt=broadcast.last_chat_id)
        ids = list(chats.order_by("pk").values_list("pk", flat=True)[:STEP])
        if not ids:
            return None
        chosen = chats.filter(pk__lte=ids[-1]).values_list(
            "pk",
            Value(broadcast_id, output_field=BigIntegerField()),
            Concat(Value(f"broadcast:{broadcast_id}:"), Cast("pk", CharField())),
        )
        written = outbox.owe_each(chosen, kind="broadcast", broadcast=broadcast)
        Broadcast.objects.filter(pk=broadcast_id).update(last_chat_id=ids[-1])
    return written


def _finish_if_done(broadcast: Broadcast) -> None:
    if outbox.waiting_bulk(broadcast=broadcast, most=1):
        return
    Broadcast.objects.filter(pk=broadcast.pk, status=BroadcastStatus.SENDING).update(
        status=BroadcastStatus.FINISHED, finished_at=timezone.now()
    )
