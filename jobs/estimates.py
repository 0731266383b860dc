"""What a waiting user is told: place in the queue and time to go, from the order in which jobs are served.

The nodes are taken as lanes that each run one job at a time for as long as recent ones took. Later arrivals
of other users may come before a user's second job, so the time of that one can still grow.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import BigIntegerField, Count, Q, QuerySet
from django.utils import timezone

from jobs.models import Attempt, Job, Node
from jobs.states import AttemptStatus, JobStatus
from qwenedit.lib.compiled import Compiled, CompiledNumbers, together
from qwenedit.lib.remembered import Remembered, RememberedEach

NEEDED = ("status", "priority", "turn", "user")  # what is read of a job
RECENT = 20
FIRST_GUESS = timedelta(seconds=20)  # before anything was measured
KNOWN_FOR = 1.0  # seconds, for what changes slowly: programs that wait for an edit ask often
FAR = 100  # others before a job: as many rows are counted, and one more or less is nothing to whoever waits


class Estimate(NamedTuple):
    """`position` counts from 1; `eta_seconds` is the time until the result."""

    position: int
    eta_seconds: int


def estimate(job: Job) -> Estimate | None:
    """Return where a queued job stands, or will stand once it is saved; None once it is no longer queued."""
    return estimates([job]).get(job.pk)


def estimates(jobs: Iterable[Job]) -> dict[int, Estimate]:
    """Return where the queued ones among `jobs` stand, by id; takes no more queries for many than for one."""
    queued = [job for job in jobs if job.status == JobStatus.QUEUED]
    if not queued:
        return {}
    if len(queued) == 1:
        at_work, ahead = _counted(queued[0])
    else:
        at_work, ahead = _at_work(), _looked_up(queued)
    lanes = _Lanes.of(at_work, timezone.now())
    return {
        pk: Estimate(everybodys + 1, ceil(lanes.seconds_until_end(everybodys, own_ahead=own)))
        for pk, (everybodys, own) in ahead.items()
    }


def _counted(job: Job) -> tuple[list[Attempt], dict[int, tuple[int, int]]]:
    """Return what is at work, how many jobs come before this one, and how many of them are the user's."""
    if (known := known_far.get(job.pk)) is not None:
        return known_at_work(), {job.pk: known}
    at_work, rows = together(
        _at_work.of(),
        _ahead.of(job.priority, job.turn, job.pk or BigIntegerField.MAX_BIGINT, job.user_id),
    )
    counted = rows[0] if rows else (0, 0)
    if job.pk and counted[0] >= FAR:
        known_far.put(job.pk, counted)
    return at_work, {job.pk: counted}


def _looked_up(jobs: Iterable[Job]) -> dict[int, tuple[int, int]]:
    # For several, one look at the whole queue costs less than a count for each.
    # Whoever left the queue since the caller read its row is as good as first.
    found = {job.pk: (0, 0) for job in jobs}
    own: Counter[int] = Counter()
    queue = Job.objects.filter(status=JobStatus.QUEUED).in_order().values_list("pk", "user")
    for everybodys, (pk, user) in enumerate(queue):
        if pk in found:
            found[pk] = everybodys, own[user]
        own[user] += 1
    return found


def typical_duration() -> timedelta:
    """Return the mean time that recent successful attempts spent executing."""
    spent = [
        attempt.finished_at - attempt.executing_at
        for attempt in _recent()
        if attempt.finished_at and attempt.executing_at
    ]
    return sum(spent, timedelta(0)) / len(spent) if spent else FIRST_GUESS


class Fleet(NamedTuple):
    """The seconds that an edit takes, and the nodes that make edits, by id: none is paused or on trial."""

    duration: float
    working: tuple[int, ...]


def _ask_fleet() -> Fleet:
    return Fleet(typical_duration().total_seconds(), tuple(node.pk for node in _working()))


known_far: RememberedEach[int, tuple[int, int]] = RememberedEach(seconds=KNOWN_FOR, most=10_000)
known_fleet = Remembered(_ask_fleet, seconds=KNOWN_FOR)


@dataclass(frozen=True)
class _Lanes:
    """When each node will have done what it has, in seconds from now, and the seconds that a job takes."""

    free_in: tuple[float, ...]
    duration: float

    @classmethod
    def of(cls, at_work: Iterable[Attempt], moment: datetime) -> _Lanes:
        duration, working = known_fleet()
        busy = dict.fromkeys(working or (0,), 0.0)  # where there is none, as if one came back now
        for attempt in at_work:
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


def _build_ahead(priority: int, turn: int, pk: int, user: int) -> QuerySet[Job, Any]:
    """Return how many queued jobs come before one, and how many of them are the user's."""
    same = Q(priority=priority)
    before = Q(priority__gt=priority) | same & Q(turn__lt=turn) | same & Q(turn=turn, pk__lt=pk)
    queued = Job.objects.filter(before, status=JobStatus.QUEUED).order_by().values("status")
    counted = queued.annotate(everybodys=Count("pk"), own=Count("pk", filter=Q(user=user)))
    return counted.values_list("everybodys", "own")


_ahead = CompiledNumbers(_build_ahead)
_recent = Compiled(
    lambda: (
        Attempt.objects.filter(
            status=AttemptStatus.SUCCEEDED, executing_at__isnull=False, finished_at__isnull=False
        )
        .order_by("-finished_at")
        .only("executing_at", "finished_at")[:RECENT]
    )
)
_working = Compiled(
    lambda: Node.objects.in_service().filter(tripped_until=None).exclude(is_healthy=False).only("pk")
)
_at_work = Compiled(
    lambda: (
        Attempt.objects.filter(status=AttemptStatus.ACTIVE)
        .order_by("created_at")
        .only("node", "executing_at")
    )
)
known_at_work = Remembered(_at_work, seconds=KNOWN_FOR)  # for whoever is far from it
