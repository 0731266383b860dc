"""What a waiting user is told: place in the queue and time to go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from math import ceil
from typing import NamedTuple

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q

from jobs.models import Attempt, Job, Node
from jobs.states import AttemptStatus, JobStatus

RECENT = 20
MOST_COUNTED = 20  # jobs at once; for more, one look at the whole queue costs less than a count for each
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
    positions = _counted(queued) if len(queued) <= MOST_COUNTED else _looked_up(queued)
    running = Job.objects.filter(status=JobStatus.RUNNING).count()
    lanes = max(1, Node.objects.in_service().exclude(is_healthy=False).count())
    seconds = typical_duration().total_seconds()
    return {
        pk: Estimate(position, ceil(ceil((running + position) / lanes) * seconds))
        for pk, position in positions.items()
    }


def _counted(jobs: list[Job]) -> dict[int, int]:
    ahead = Job.objects.filter(status=JobStatus.QUEUED).aggregate(
        **{
            f"of_{job.pk}": Count(
                "pk", filter=Q(priority__gt=job.priority) | Q(priority=job.priority, pk__lt=job.pk)
            )
            for job in jobs
        }
    )
    return {job.pk: ahead[f"of_{job.pk}"] + 1 for job in jobs}


def _looked_up(jobs: list[Job]) -> dict[int, int]:
    queue = (
        Job.objects.filter(status=JobStatus.QUEUED).order_by("-priority", "pk").values_list("pk", flat=True)
    )
    places = {pk: place for place, pk in enumerate(queue, start=1)}
    # Whoever left the queue since the caller read its row is as good as first.
    return {job.pk: places.get(job.pk, 1) for job in jobs}


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
