"""Reads for operators: what the metrics say of the bot."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Count, Min

from botapp.models import Delivery, IncomingUpdate, Lane


def open_deliveries() -> dict[Lane, int]:
    """Return how many deliveries of each lane are neither sent nor given up, zeros included."""
    rows = Delivery.objects.unfinished().order_by().values_list("lane")
    counts = dict(rows.annotate(count=Count("pk")))
    return {lane: counts.get(lane, 0) for lane in Lane}


def longest_due(now: datetime) -> dict[Lane, timedelta]:
    """Return how long ago the longest-waiting delivery of each lane should have been sent; zero for none."""
    rows = Delivery.objects.due(now).order_by().values_list("lane")
    oldest = dict(rows.annotate(oldest=Min("next_try_at")))
    return {lane: now - oldest.get(lane, now) for lane in Lane}


def open_updates() -> int:
    """Return how many updates are not answered yet."""
    return IncomingUpdate.objects.open().count()
