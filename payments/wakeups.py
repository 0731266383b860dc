"""Telling workers of a notification. Only a hint: the sweep finds whatever gets lost here."""

import structlog
from celery import current_app
from kombu.exceptions import OperationalError

logger = structlog.get_logger(__name__)

PROCESS_NOTIFICATION = "payments.tasks.process_notification"


def wake_inbox(notification_id: int) -> None:
    """Publish one wake-up. A broker that is down costs the notification seconds, and the caller nothing."""
    try:
        current_app.send_task(PROCESS_NOTIFICATION, kwargs={"notification_id": notification_id}, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("wake-up not published, the sweep will find the notification", reason=str(error))
