"""Telling workers what the bot owes: a delivery, orders, an album."""

from __future__ import annotations

from qwenedit.wakeups import WakeUp, publish

ORDERS = WakeUp("botapp.tasks.submit_orders")
ALBUM_QUIET = 1.2  # seconds in which the pictures of an album follow one another


def wake_outbox(*, in_seconds: float | None = None) -> None:
    """Say that an urgent delivery waits, or will in a while."""
    publish("botapp.tasks.send_due", countdown=in_seconds)


def wake_orders() -> None:
    """Say that orders may wait to become jobs."""
    ORDERS.publish()


def wake_album(chat_id: int, media_group_id: str) -> None:
    """Say that a picture of an album came: soon it should be complete."""
    publish(
        "botapp.tasks.collect_album", countdown=ALBUM_QUIET, chat_id=chat_id, media_group_id=media_group_id
    )
