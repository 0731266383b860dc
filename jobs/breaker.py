"""The circuit breaker of a node: one that answers but fails what it is given gets a pause, then one trial.

    closed ── failures in a row ──► paused ── the pause is over ──► on trial ── success ──► closed
                                      ▲───────── failure: twice as long ───────┘

The state lives in the node's row. The scheduler reads it under the lock of a claim, by `depth`, so that of
several workers exactly one gives a node on trial its attempt. Knows nothing of how a node is asked.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import node_events
from jobs.comfy.errors import ComfyError
from jobs.models import Node, NodeEvent

logger = structlog.get_logger(__name__)

FAILURES_TO_TRIP = 3
SHORTEST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=2)


def is_paused(node: Node, now: datetime) -> bool:
    """Return whether the node must be left alone for now."""
    return node.tripped_until is not None and node.tripped_until > now


def depth(node: Node, now: datetime) -> int:
    """Return how many attempts the node may hold: none in a pause, one on trial."""
    if node.tripped_until is None:
        return settings.COMFYUI_NODE_DEPTH
    return 0 if is_paused(node, now) else 1


def note_failure(node: Node, error: ComfyError, *, began: datetime) -> None:
    """Count an attempt that began at `began` and failed by the node's fault; pause the node after three.

    After the first where the next would fail as well: a missing model, an execution thread that has died.
    """
    if not error.blames_node:
        return
    now = timezone.now()
    with transaction.atomic():
        row = Node.objects.select_for_update().get(pk=node.pk)
        if row.tripped_at is not None and began <= row.tripped_at:
            return  # of the same outage: a restart fails all that the node held, and is one reason to pause
        least = FAILURES_TO_TRIP if error.pauses_at_once else 1
        row.failures_in_row = min(max(row.failures_in_row + 1, least), 1000)
        if row.failures_in_row >= FAILURES_TO_TRIP:
            row.tripped_at, row.tripped_until = now, now + _pause(row.failures_in_row, random.random())  # noqa: S311
            until = f"{row.tripped_until:%H:%M:%S} UTC"
            detail = f"until {until} after {row.failures_in_row} failures, the last: {error.code}"
            node_events.record(row, NodeEvent.Kind.TRIPPED, detail)
            logger.warning("Node paused", node=row.name, until=until, failures=row.failures_in_row)
        row.save(update_fields=["failures_in_row", "tripped_at", "tripped_until"])


def note_success(node: Node) -> None:
    """Forget the failures that a node had when it was given an edit, as `node` says: it has just made it."""
    if not node.failures_in_row:
        return
    with transaction.atomic():
        row = Node.objects.select_for_update().get(pk=node.pk)
        if row.tripped_until is not None:
            node_events.record(row, NodeEvent.Kind.CLOSED, f"after {row.failures_in_row} failures")
            logger.info("Node trusted again", node=row.name)
        row.failures_in_row, row.tripped_at, row.tripped_until = 0, None, None
        row.save(update_fields=["failures_in_row", "tripped_at", "tripped_until"])


def _pause(failures: int, chance: float) -> timedelta:
    """Return 5 s after the third failure, twice as long after each further one; up to a quarter less."""
    doublings: int = min(failures - FAILURES_TO_TRIP, 10)
    pause: timedelta = min(SHORTEST_PAUSE * (1 << doublings), LONGEST_PAUSE)
    return pause * (1 - chance / 4)
