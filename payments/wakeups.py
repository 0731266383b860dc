"""Telling workers of a notification."""

from qwenedit.wakeups import publish


def wake_inbox(notification_id: int) -> None:
    """Say that a notification waits in the inbox."""
    publish("payments.tasks.process_notification", notification_id=notification_id)
