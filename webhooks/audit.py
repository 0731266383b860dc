"""The invariants of webhooks: what is owed is sent, or it is written down why not."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from qwenedit.lib.audit import Finding
from webhooks.models import UNFINISHED, Delivery, DeliveryStatus, Endpoint

# An audit of a living system needs slack: sweeps come within seconds, a channel that is slow takes its time.
PATIENCE = timedelta(hours=1)


def findings() -> list[Finding]:
    """Check every invariant of deliveries and endpoints."""
    now = timezone.now()
    is_open = Q(status__in=UNFINISHED)
    no_reason = Q(status__in=[DeliveryStatus.FAILED, DeliveryStatus.CANCELLED], failure="")
    return [
        Finding.of(
            "no webhook is left lying",
            Delivery.objects.unfinished().filter(next_attempt_at__lt=now - PATIENCE),
        ),
        Finding.of(
            "a webhook delivery says when it ended, exactly if it did",
            Delivery.objects.exclude(is_open).filter(finished_at=None)
            | Delivery.objects.filter(is_open, finished_at__isnull=False),
        ),
        Finding.of("a webhook delivery that failed says why", Delivery.objects.filter(no_reason)),
        Finding.of(
            "a webhook that is disabled says why, and no other does",
            Endpoint.objects.filter(Q(disabled_at=None) ^ Q(disabled_reason="")),
        ),
    ]
