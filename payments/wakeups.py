"""Telling workers of a notification. Only a hint: the sweep finds whatever gets lost here."""

import structlog
from celery import current_app
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers

logger = structlog.get_logger(__name__)

PROCESS_NOTIFICATION = "payments.tasks.process_notification"
# The caller is the gateway, which waits for its answer: neither for a silent broker nor for one to come back.
IMPATIENCE = {"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0}


def wake_inbox(notification_id: int) -> None:
    """Publish one wake-up. A broker that is down costs its caller two seconds at most."""
    try:
        connection = current_app.connection_for_write(transport_options=IMPATIENCE)
        with producers[connection].acquire(block=True, timeout=2) as producer:
            current_app.send_task(
                PROCESS_NOTIFICATION,
                kwargs={"notification_id": notification_id},
                producer=producer,
                retry=False,
            )
    except (LimitExceeded, OperationalError, OSError) as error:
        logger.warning("wake-up not published, the sweep will find the notification", reason=str(error))
