"""Telling workers that there may be work. Only a hint: the sweep repairs whatever gets lost here."""

import random
from contextlib import suppress

import structlog
from celery import current_app
from django.core.cache import cache
from kombu.exceptions import LimitExceeded, OperationalError
from kombu.pools import producers
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

PROCESS_NEXT_JOB = "jobs.tasks.process_next_job"
RETRY_CHAIN = "jobs:retry-chain"
RETRY_CHAIN_SECONDS = 15


# The caller is often a user's request: it waits neither for a silent broker nor for one to come back.
IMPATIENCE = {"socket_timeout": 2, "socket_connect_timeout": 2, "max_retries": 0}


def wake_queue() -> None:
    """Publish one wake-up. A broker that is down costs the job seconds, and the caller two at most."""
    try:
        connection = current_app.connection_for_write(transport_options=IMPATIENCE)
        with producers[connection].acquire(block=True, timeout=2) as producer:
            current_app.send_task(PROCESS_NEXT_JOB, producer=producer, retry=False)
    except (LimitExceeded, OperationalError, OSError) as error:
        logger.warning("wake-up not published, the sweep will find the work", reason=str(error))


def closed_gate_countdown(retries: int) -> float:
    """Return the seconds until the health gate is asked again: 1, 2, then 4, each with jitter.

    Short, because a node that comes back should have work within ten seconds.
    """
    return min(4.0, 2.0**retries) * random.uniform(0.75, 1.0)  # noqa: S311  (jitter, no secret)


def may_retry(retries: int) -> bool:
    """Return whether this wake-up may come again: one chain of retries is enough for all submissions.

    Its first link reserves the chain, the others keep it; a chain that breaks is forgotten.
    """
    try:
        if retries == 0:
            return bool(cache.add(RETRY_CHAIN, 1, timeout=RETRY_CHAIN_SECONDS))
        cache.set(RETRY_CHAIN, 1, timeout=RETRY_CHAIN_SECONDS)
    except RedisError:
        pass  # without the cache there are more chains than needed, and no harm in it
    return True


def end_retries() -> None:
    """Let the next outage begin a chain of its own."""
    with suppress(RedisError):
        cache.delete(RETRY_CHAIN)
