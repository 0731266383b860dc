"""What the beat repairs: work nobody was told of, attempts nobody follows, pictures nobody may keep."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connections
from django.utils import timezone

from jobs import node_events, node_samples, nodes, pictures, runner
from jobs.fairness import straighten
from jobs.models import Attempt, Job, Node
from jobs.states import FINAL, AttemptStatus
from jobs.wakeups import wake_queue

logger = structlog.get_logger(__name__)

# A living runner notices within seconds that its job has ended, and takes its prompt off the node itself.
RUNNER_NOTICES = timedelta(seconds=10)
PROBED_AT_ONCE = 8


def sweep() -> bool:
    """Wake a worker for what is due or abandoned, end attempts whose jobs ended; return whether it woke."""
    now = timezone.now()
    waits = Job.objects.due(now).exists() or Job.objects.abandoned(now).exists()
    if waits:
        wake_queue()
    straighten(now)  # after the wake-up: recovery must not depend on fairness
    # Last, for it talks to nodes, and one of them may be slow to answer.
    forsaken = Attempt.objects.filter(
        status=AttemptStatus.ACTIVE, job__status__in=FINAL, job__finished_at__lt=now - RUNNER_NOTICES
    )
    for attempt in forsaken[:20]:
        runner.leave(attempt)
    return waits


def probe_nodes() -> None:
    """Ask every enabled node how it is, side by side, and wake the queue for each that came back.

    A node that is silent keeps its own thread waiting for some seconds, and no other node.
    """
    enabled = list(Node.objects.filter(is_enabled=True))
    with ThreadPoolExecutor(PROBED_AT_ONCE, thread_name_prefix="probe") as pool:
        probes = [pool.submit(copy_context().run, _probe, node) for node in enabled]
    for probe in probes:
        probe.result()  # raises what went wrong, once every node was asked


def _probe(node: Node) -> None:
    try:
        if nodes.probe(node, look_at_queue=True) and node.is_healthy is False:
            wake_queue()
    finally:
        connections.close_all()


def purge() -> None:
    """Delete pictures past their time, files that no row names, and what is old of nodes' history."""
    now = timezone.now()
    purged = pictures.purge_expired(before=now - timedelta(days=settings.RESULT_RETENTION_DAYS))
    orphans = pictures.delete_orphans(now=now)
    if purged or orphans:
        logger.info("Pictures purged", expired=purged, orphans=orphans)
    node_events.purge(now=now)
    node_samples.purge(now=now)
