"""Telling workers that a webhook waits."""

from qwenedit.wakeups import publish


def wake_outbox() -> None:
    """Say that a delivery waits to be sent."""
    publish("webhooks.tasks.send_due")
