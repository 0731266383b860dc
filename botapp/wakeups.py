"""Telling workers what the bot owes: a delivery, an order, an album."""

from __future__ import annotations

from qwenedit.wakeups import publish

ALBUM_QUIET = 1.2  # seconds in which the pictures of an album follow one another


def wake_outbox(*, in_seconds: float | None = None) -> None:
    """Say that an urgent delivery waits, or will in a while."""
    publish("botapp.tasks.send_due", countdown=in_seconds)


def wake_order(order_id: int) -> None:
    """Say that an order waits for its photos to be fetched."""
    publish("botapp.tasks.place_order", order_id=order_id)


def wake_album(chat_id: int, media_group_id: str) -> None:
    """Say that a picture of an album came: soon it should be complete."""
    publish(
        "botapp.tasks.collect_album", countdown=ALBUM_QUIET, chat_id=chat_id, media_group_id=media_group_id
    )
