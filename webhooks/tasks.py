"""Shells around services. Every task may be doubled or lost without harm; unknown arguments are ignored."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from webhooks import outbox, sending


@shared_task
def send_due(**_ignored: Any) -> None:
    """Begin to send what waits."""
    sending.start(1)


@shared_task
def sweep(**_ignored: Any) -> None:
    """Begin to send what nobody was told of, or what is to be tried again."""
    sending.start(outbox.waiting(most=sending.THREADS))


@shared_task
def purge(**_ignored: Any) -> None:
    """Forget old deliveries."""
    outbox.purge(timezone.now())
