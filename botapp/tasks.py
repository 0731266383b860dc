"""Shells around services. Every task may be doubled or lost without harm; unknown arguments are ignored."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from botapp import outbox, updates
from botapp.conversation import albums
from botapp.orders import progress, submitting
from botapp.outbox import bonus_notices, broadcasts, sending
from botapp.wakeups import ORDERS


@shared_task
def send_due(**_ignored: Any) -> None:
    """Send the results and the news of money that wait."""
    sending.send_due()


@shared_task
def send_bulk(**_ignored: Any) -> None:
    """Send notices and broadcasts for a while."""
    sending.send_bulk()


@shared_task
def feed_notices(**_ignored: Any) -> None:
    """Make notices of the weekly bonus ready to be sent."""
    bonus_notices.feed(most_waiting=outbox.MOST_WAITING)


@shared_task
def feed_broadcasts(**_ignored: Any) -> None:
    """Make broadcasts ready to be sent."""
    broadcasts.feed(most_waiting=outbox.MOST_WAITING)


@shared_task
def submit_orders(**_ignored: Any) -> None:
    """Make accepted orders into jobs, for a while."""
    ORDERS.take()
    submitting.submit_due()


@shared_task
def refresh_progress(**_ignored: Any) -> None:
    """Show how unfinished orders are."""
    progress.refresh(timezone.now())


@shared_task
def collect_album(*, chat_id: int, media_group_id: str, **_ignored: Any) -> None:
    """Take the pictures of an album together, once no more follow."""
    albums.collect(chat_id, media_group_id)


@shared_task
def collect_albums(**_ignored: Any) -> None:
    """Take up albums that were left behind."""
    albums.sweep(timezone.now())


@shared_task
def sweep_updates(**_ignored: Any) -> None:
    """Answer updates that were left behind."""
    updates.sweep(timezone.now())


@shared_task
def purge(**_ignored: Any) -> None:
    """Forget old updates and deliveries."""
    now = timezone.now()
    updates.purge(now)
    outbox.purge(now)
