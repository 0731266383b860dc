"""Shells around services. Every task may be doubled or lost without harm; unknown arguments are ignored."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from django.utils import timezone

from payments import bonus, stars, webhooks
from payments import reconcile as reconciliation
from payments.gateways.base import GatewayError

COMPARED = timedelta(days=2)  # so that a night that was missed is made up for


@shared_task
def process_notification(*, notification_id: int, **_ignored: Any) -> None:
    """Process one notification of the inbox."""
    webhooks.process_notification(notification_id)


@shared_task
def sweep_notifications(**_ignored: Any) -> None:
    """Try again what the inbox still holds."""
    reconciliation.sweep_notifications(timezone.now())


@shared_task
def check_payments(**_ignored: Any) -> None:
    """Ask for the pending payments whose time has come, and give up invoices that nobody pays any more."""
    now = timezone.now()
    stars.expire_invoices(now)
    reconciliation.check_due_payments(now)


@shared_task
def check_refunds(**_ignored: Any) -> None:
    """Ask for the pending refunds whose time has come."""
    reconciliation.check_due_refunds(timezone.now())


@shared_task(autoretry_for=(GatewayError,), max_retries=5, default_retry_delay=600)
def reconcile(**_ignored: Any) -> None:
    """Compare the gateways' lists with ours."""
    now = timezone.now()
    reconciliation.compare_each(now - COMPARED, now)


@shared_task
def issue_weekly_bonus(**_ignored: Any) -> None:
    """Give the weekly bonus to whoever is due it."""
    bonus.issue_weekly_bonus(timezone.now())
