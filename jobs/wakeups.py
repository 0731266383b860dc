"""Telling workers that a job may wait, and asking again while no node is healthy."""

import random
from contextlib import suppress

from django.core.cache import cache
from redis.exceptions import RedisError

from qwenedit.wakeups import WakeUp

QUEUE = WakeUp("jobs.tasks.process_next_job")
RETRY_CHAIN = "jobs:retry-chain"
RETRY_CHAIN_SECONDS = 15


def wake_queue() -> None:
    """Say that a job may wait for a node."""
    QUEUE.publish()


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
