"""Telling workers that there may be work. Only a hint: rows say what it is, and sweeps find what is lost."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from celery import current_app
from django.core.cache import cache
from django.dispatch import receiver
from django_structlog.celery.signals import modify_context_before_task_publish
from kombu import Connection
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

UNDER_WAY_SECONDS = 2  # then a message that no worker has taken counts as lost
# The caller is often somebody's request: it waits neither for a silent broker nor for one to come back.
IMPATIENCE = {"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0}


def publish(task: str, *, countdown: float | None = None, **arguments: Any) -> bool:
    """Publish one wake-up and return whether it was.

    A broker that is down costs the work seconds, and the caller two at most.
    """
    try:
        with producers[_pool_key(current_app.conf.broker_write_url)].acquire(
            block=True, timeout=2
        ) as producer:
            current_app.send_task(task, kwargs=arguments, countdown=countdown, producer=producer, retry=False)
    except (LimitExceeded, OperationalError, OSError) as error:
        logger.warning("wake-up not published, a sweep will find the work", task=task, reason=str(error))
        return False
    return True


@functools.cache
def _pool_key(url: str) -> Connection:
    """Return the key of the pool, which opens connections of its own."""
    return current_app.connection_for_write(url, transport_options=IMPATIENCE)


@dataclass(frozen=True)
class WakeUp:
    """A message that says the same to all: one that nobody has taken yet is enough for every row."""

    task: str

    def publish(self) -> None:
        """Publish it, unless one is under way."""
        try:
            if not cache.add(self._flag, 1, timeout=UNDER_WAY_SECONDS):
                return
        except RedisError:
            pass  # without the cache there are more messages than needed, and no harm in it
        if not publish(self.task):
            self.take()

    def take(self) -> None:
        """Let the next row be told of by a message of its own: whoever calls looks at the rows after this."""
        with suppress(RedisError):
            cache.delete(self._flag)

    @property
    def _flag(self) -> str:
        return f"wake-up:{self.task}"


@receiver(modify_context_before_task_publish)
def _travel_light(context: dict[str, Any], **_signal: Any) -> None:
    """Let the request id alone go along into the log lines of a task: its work may be somebody else's."""
    for name in context.keys() - {"request_id"}:
        del context[name]
