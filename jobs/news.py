"""Telling whoever follows a job that its row has changed. Only a hint: the row says what it is now.

Hints go through Valkey's publish and subscribe, which keeps nothing: whoever follows looks by itself, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache, partial

import redis.asyncio
import structlog
from django.conf import settings
from django.db import transaction
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.retry import Retry

logger = structlog.get_logger(__name__)

CHANNEL = "qwenedit:jobs"  # databases do not divide channels, so the prefix does

# Seconds.
PATIENCE = 2.0
SILENCE_AFTER_FAILURE = 5.0  # a broker that is silent costs its callers PATIENCE once, not with every hint
LONGEST_QUIET = 30.0  # a subscription that hears nothing for this long may be dead, and is made anew
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 5.0

_silent_until = 0.0


def tell(job_id: int) -> None:
    """Say that a job has changed, once that is committed. A broker that is down costs followers seconds."""
    transaction.on_commit(partial(_publish, job_id))


async def follow(hear: Callable[[int | None], None]) -> None:
    """Call `hear` with the id of every job that has changed, until cancelled; it must not block.

    It is called with None where hints may have been missed: at the start, and after each outage.
    """
    pause = SHORTEST_PAUSE
    while True:
        try:
            async with _subscriber() as client, client.pubsub() as subscription:
                await subscription.subscribe(CHANNEL)
                while (message := await subscription.get_message(timeout=LONGEST_QUIET)) is not None:
                    pause = SHORTEST_PAUSE
                    data = message["data"]
                    is_hint = message["type"] == "message" and data.isdigit()
                    hear(int(data) if is_hint else None)
        except (RedisError, OSError) as error:
            if pause == SHORTEST_PAUSE:
                logger.warning("News of jobs are late, the broker does not answer", reason=str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _publish(job_id: int) -> None:
    global _silent_until
    if time.monotonic() < _silent_until:
        return
    try:
        _publisher().publish(CHANNEL, job_id)
    except (RedisError, OSError) as error:
        _silent_until = time.monotonic() + SILENCE_AFTER_FAILURE
        logger.warning("News of a job not published, followers look by themselves", reason=str(error))


@cache
def _publisher() -> redis.Redis:
    # One more try, at once: a connection may have died since it was last used.
    return redis.Redis.from_url(
        settings.CACHE_URL,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,)),
    )


def _subscriber() -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(
        settings.CACHE_URL,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=AsyncRetry(NoBackoff(), 0),
    )
