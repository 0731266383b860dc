"""Reads for operators: what the metrics say of money."""

from __future__ import annotations

from django.db.models import Count

from payments.models import Discrepancy, Notification, Payment, PaymentStatus, Refund, RefundStatus


def open_discrepancies() -> dict[str, int]:
    """Return how many discrepancies wait for a person, by kind, zeros included."""
    waiting = Discrepancy.objects.filter(resolved_at__isnull=True).order_by()
    counts = dict(waiting.values_list("kind").annotate(count=Count("pk")))
    return {str(kind): counts.get(kind, 0) for kind in Discrepancy.Kind}


def pending_payments() -> int:
    """Return how many payments are neither paid nor given up."""
    return Payment.objects.filter(status=PaymentStatus.PENDING).count()


def pending_refunds() -> int:
    """Return how many refunds have no known outcome."""
    return Refund.objects.filter(status=RefundStatus.PENDING).count()


def open_notifications() -> int:
    """Return how many notifications the inbox still holds."""
    return Notification.objects.open().count()
