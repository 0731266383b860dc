"""What a waiting user is told: place in the queue and time to go, from the order in which jobs are served.

The nodes are taken as lanes that each run one job at a time for as long as recent ones took. Later arrivals
of other users may come before a user's second job, so the time of that one can still grow.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from django.conf import settings
from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q
from django.utils import timezone

from jobs.models import Attempt, Job, Node
from jobs.states import AttemptStatus, JobStatus
from qwenedit.lib.compiled import Compiled

RECENT = 20
FIRST_GUESS = timedelta(seconds=20)  # before anything was measured


class Estimate(NamedTuple):
    """`position` counts from 1; `eta_seconds` is the time until the result."""

    position: int
    eta_seconds: int


def estimate(job: Job) -> Estimate | None:
    """Return where a queued job stands, or None once it is no longer queued."""
    return estimates([job]).get(job.pk)


def estimates(jobs: Iterable[Job]) -> dict[int, Estimate]:
    """Return where the queued ones among `jobs` stand, by id; takes no more queries for many than for one."""
    queued = [job for job in jobs if job.status == JobStatus.QUEUED]
    if not queued:
        return {}
    counts = Job.objects.filter(status=JobStatus.QUEUED).aggregate(
        **{f"of_all_{job.pk}": Count("pk", filter=_before(job)) for job in queued},
        **{f"of_own_{job.pk}": Count("pk", filter=_before(job) & Q(user=job.user_id)) for job in queued},
    )
    lanes = _Lanes.now(timezone.now())
    found = {}
    for job in queued:
        ahead, own = counts[f"of_all_{job.pk}"], counts[f"of_own_{job.pk}"]
        found[job.pk] = Estimate(ahead + 1, ceil(lanes.seconds_until_end(ahead, own_ahead=own)))
    return found


def typical_duration() -> timedelta:
    """Return the mean time that recent successful attempts spent executing."""
    recent = (
        Attempt.objects.filter(status=AttemptStatus.SUCCEEDED, executing_at__isnull=False)
        .order_by("-finished_at")
        .values("pk")[:RECENT]
    )
    spent = ExpressionWrapper(F("finished_at") - F("executing_at"), output_field=DurationField())
    mean = Attempt.objects.filter(pk__in=list(recent.values_list("pk", flat=True))).aggregate(mean=Avg(spent))
    return mean["mean"] or FIRST_GUESS


def _before(job: Job) -> Q:
    same = Q(priority=job.priority)
    return Q(priority__gt=job.priority) | same & Q(turn__lt=job.turn) | same & Q(turn=job.turn, pk__lt=job.pk)


@dataclass(frozen=True)
class _Lanes:
    """When each node will have done what it has, in seconds from now, and the seconds that a job takes."""

    free_in: tuple[float, ...]
    duration: float

    @classmethod
    def now(cls, moment: datetime) -> _Lanes:
        duration = typical_duration().total_seconds()
        busy = {node.pk: 0.0 for node in _answering()} or {0: 0.0}
        for attempt in _at_work():
            spent = (moment - attempt.executing_at).total_seconds() if attempt.executing_at else 0.0
            node = attempt.node_id if attempt.node_id in busy else min(busy, key=lambda pk: busy[pk])
            busy[node] += max(duration - spent, 0.0)
        return cls(tuple(busy.values()), duration)

    def seconds_until_end(self, ahead: int, *, own_ahead: int) -> float:
        """Return when a job ends that `ahead` others come before, `own_ahead` of them the user's own."""
        rounds = max(0, ahead // len(self.free_in) - 1)
        lanes = [free + rounds * self.duration for free in self.free_in]
        heapq.heapify(lanes)
        for _ in range(ahead - rounds * len(lanes)):
            heapq.heapreplace(lanes, lanes[0] + self.duration)
        # However many nodes are free, a user's own jobs pass through a few at a time.
        own = own_ahead // settings.MAX_RUNNING_JOBS_PER_USER * self.duration
        return max(lanes[0], own) + self.duration


_answering = Compiled(lambda: Node.objects.in_service().exclude(is_healthy=False).only("pk"))
_at_work = Compiled(
    lambda: (
        Attempt.objects.filter(status=AttemptStatus.ACTIVE)
        .order_by("created_at")
        .only("node", "executing_at")
    )
)
