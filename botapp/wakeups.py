"""Telling workers that there may be work. Only a hint: the sweeps repair whatever gets lost here."""

from __future__ import annotations

from typing import Any

import structlog
from celery import current_app
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers

from jobs.wakeups import IMPATIENCE

logger = structlog.get_logger(__name__)

ALBUM_QUIET = 1.2  # seconds in which the pictures of an album follow one another


def wake_outbox(*, in_seconds: float | None = None) -> None:
    """Say that an urgent delivery waits, or will in a while."""
    _publish("botapp.tasks.send_due", countdown=in_seconds)


def wake_order(order_id: int) -> None:
    """Say that an order waits for its photos to be fetched."""
    _publish("botapp.tasks.place_order", order_id=order_id)


def wake_album(chat_id: int, media_group_id: str) -> None:
    """Say that a picture of an album came: soon it should be complete."""
    _publish(
        "botapp.tasks.collect_album", countdown=ALBUM_QUIET, chat_id=chat_id, media_group_id=media_group_id
    )


def _publish(task: str, *, countdown: float | None = None, **arguments: Any) -> None:
    """Publish one wake-up. A broker that is down costs the caller two seconds at most."""
    try:
        connection = current_app.connection_for_write(transport_options=IMPATIENCE)
        with producers[connection].acquire(block=True, timeout=2) as producer:
            current_app.send_task(task, kwargs=arguments, countdown=countdown, producer=producer, retry=False)
    except (LimitExceeded, OperationalError, OSError) as error:
        logger.warning("wake-up not published, a sweep will find the work", task=task, reason=str(error))
