"""What a waiting user is told: place in the queue and time to go."""

from __future__ import annotations

from datetime import timedelta
from math import ceil
from typing import NamedTuple

from django.db.models import Avg, DurationField, ExpressionWrapper, F, Q

from jobs.models import Attempt, Job, Node
from jobs.states import AttemptStatus, JobStatus

RECENT = 20
FIRST_GUESS = timedelta(seconds=20)  # before anything was measured


class Estimate(NamedTuple):
    """`position` counts from 1; `eta_seconds` is the time until the result."""

    position: int
    eta_seconds: int


def estimate(job: Job) -> Estimate | None:
    """Return where a queued job stands, or None once it is no longer queued."""
    if job.status != JobStatus.QUEUED:
        return None
    ahead = Job.objects.filter(status=JobStatus.QUEUED).filter(
        Q(priority__gt=job.priority) | Q(priority=job.priority, pk__lt=job.pk)
    )
    position = ahead.count() + 1
    running = Job.objects.filter(status=JobStatus.RUNNING).count()
    lanes = max(1, Node.objects.in_service().exclude(is_healthy=False).count())
    rounds = ceil((running + position) / lanes)
    return Estimate(position, ceil(rounds * typical_duration().total_seconds()))


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
