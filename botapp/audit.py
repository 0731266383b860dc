"""The invariants of the bot: whoever is owed something gets it, or it is written down why not."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import CharField, Exists, OuterRef, Q, Value
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from botapp import outbox
from botapp.models import Delivery, DeliveryStatus, IncomingUpdate, Lane, Order, OrderStatus
from jobs.states import FINAL
from qwenedit.lib.audit import Finding

# An audit of a living system needs slack: sweeps come within seconds, bulk waits for its turn.
PATIENCE = timedelta(minutes=10)
BULK_PATIENCE = timedelta(hours=1)
ENDED = (DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.CANCELLED)


def findings() -> list[Finding]:
    """Check every invariant of updates, orders and deliveries."""
    now = timezone.now()
    late = Q(next_try_at__lt=now - PATIENCE)
    is_late = late & ~Q(lane=Lane.BULK) | Q(lane=Lane.BULK, next_try_at__lt=now - BULK_PATIENCE)
    has_ended = Q(status__in=ENDED)
    news = Delivery.objects.filter(
        key=Concat(Value("job:"), Cast(OuterRef("job_id"), CharField()), Value(":finished"))
    )
    # Deliveries are not kept for ever.
    lately = now - outbox.KEPT + timedelta(days=1)
    ordered = Order.objects.filter(job__status__in=FINAL, job__finished_at__gt=lately)
    return [
        Finding.of("no delivery is left lying", Delivery.objects.unfinished().filter(is_late)),
        Finding.of(
            "a delivery says when it ended, exactly if it did",
            Delivery.objects.filter(has_ended, finished_at=None)
            | Delivery.objects.exclude(has_ended).filter(finished_at__isnull=False),
        ),
        Finding.of(
            "a delivery that failed says why",
            Delivery.objects.filter(status=DeliveryStatus.FAILED, failure=""),
        ),
        Finding.of("whoever ordered an edit is told of its end", ordered.exclude(Exists(news))),
        Finding.of("no order is left lying", Order.objects.filter(late, status=OrderStatus.ACCEPTED)),
        Finding.of("no update is left lying", IncomingUpdate.objects.open().filter(late)),
    ]
