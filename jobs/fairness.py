"""Whose turn it is: the place that a job takes among those that wait. Knows nothing of nodes.

Every job carries a turn, and the queue is served by priority class, turn and age: an order that one index
keeps, however long the queue. A user's next job takes the turn after the user's last one, and nobody's is
before the turn that is served now. So users take turns, however many jobs each has queued, and a newcomer
waits for one job of each of the others at most. (Start-time fair queueing: Goyal, Vin and Cheng, 1996.)

Turns are compared within a class only, and only among jobs that have not ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Min

from jobs.models import Job
from jobs.states import JobStatus
from qwenedit.lib.compiled import CompiledNumbers

AGEING = timedelta(minutes=5)
MOST_LIFTED = 500


def next_turn(*, priority: int, own_last: int | None) -> int:
    """Return the turn of a new job, after `own_last`, that of the user's last unfinished job of its class."""
    present = present_turn(priority)
    return present if own_last is None else max(present, own_last + 1)


def present_turn(priority: int) -> int:
    """Return the turn that is being served in a class."""
    rows = _served(priority) or _waiting(priority)
    return int(rows[0][0]) if rows else 0


def lift_aged(now: datetime) -> int:
    """Let batch work that has waited for AGEING take turns with interactive work; return how many jobs.

    One job of each user at a time: the queue of one is not to stand before everybody else's.
    """
    queued = Job.objects.filter(status=JobStatus.QUEUED)
    aged = queued.filter(priority=Job.Priority.BATCH, created_at__lt=now - AGEING)
    has_one = queued.filter(priority=Job.Priority.INTERACTIVE).values("user")
    oldest = aged.exclude(user__in=has_one).order_by().values("user").annotate(first=Min("pk"))
    lifted = list(oldest.values_list("first", flat=True)[:MOST_LIFTED])
    if not lifted:
        return 0
    return queued.filter(pk__in=lifted, priority=Job.Priority.BATCH).update(
        priority=Job.Priority.INTERACTIVE, turn=present_turn(Job.Priority.INTERACTIVE)
    )


_served = CompiledNumbers(
    lambda priority: (
        Job.objects.filter(status=JobStatus.RUNNING, priority=priority)
        .order_by("-turn")
        .values_list("turn")[:1]
    )
)
# A retry that waits for its time kept a turn that has passed: it says nothing of the present.
_waiting = CompiledNumbers(
    lambda priority: (
        Job.objects.filter(status=JobStatus.QUEUED, priority=priority, next_attempt_at__isnull=True)
        .in_order()
        .values_list("turn")[:1]
    )
)
