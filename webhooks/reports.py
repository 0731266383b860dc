"""Reads for operators: what the metrics say of webhooks."""

from __future__ import annotations

from datetime import datetime, timedelta

from webhooks.models import Delivery, Endpoint


def open_deliveries() -> int:
    """Return how many deliveries are neither delivered nor given up."""
    return Delivery.objects.unfinished().count()


def longest_due(now: datetime) -> timedelta:
    """Return how long ago the longest-waiting delivery should have been sent; zero for none."""
    oldest = Delivery.objects.due(now).values_list("next_attempt_at", flat=True).first()
    return now - oldest if oldest else timedelta(0)


def failing_endpoints() -> int:
    """Return how many endpoints are sent to without success."""
    return Endpoint.objects.enabled().filter(failing_since__isnull=False).count()
