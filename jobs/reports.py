"""Reads for operators: what the metrics say of jobs and nodes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Count

from jobs.models import Attempt, Job, Node, NodeQuerySet
from jobs.states import AttemptStatus, JobStatus

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class AttemptSummary:
    """How the attempts of a node ended; `execution` is the median of the successful, from beginning to end.

    `lost` ones went away with the node or the worker before they had begun.
    """

    succeeded: int
    failed: int
    lost: int
    execution: timedelta | None


def jobs_by_status() -> dict[str, int]:
    """Return how many jobs are in each state, zeros included."""
    counts = dict(Job.objects.order_by().values_list("status").annotate(count=Count("pk")))
    return {str(status): counts.get(status, 0) for status in JobStatus}


def oldest_due_age(now: datetime) -> timedelta:
    """Return how long the oldest job that could run has waited."""
    oldest = Job.objects.due(now).order_by("id").values_list("created_at", flat=True).first()
    return now - oldest if oldest else timedelta(0)


def failures_by_code(now: datetime) -> dict[str, int]:
    """Return the attempts that failed in the last hour, by error code."""
    recent = Attempt.objects.filter(finished_at__gt=now - HOUR).exclude(error_code="")
    return dict(recent.order_by().values_list("error_code").annotate(count=Count("pk")))


def nodes() -> NodeQuerySet:
    """Return the enabled nodes with their load."""
    return Node.objects.filter(is_enabled=True).with_load()


def last_hour_of(node: Node, now: datetime) -> AttemptSummary:
    """Return how the attempts ended that a node held within the last hour, by one query."""
    ended = node.attempts.filter(finished_at__gt=now - HOUR).order_by()
    rows = list(ended.values_list("status", "executing_at", "finished_at"))
    counts = Counter(status for status, _began, _ended in rows)
    seconds = [
        (ended - began).total_seconds()
        for status, began, ended in rows
        if status == AttemptStatus.SUCCEEDED and began is not None and ended is not None
    ]
    return AttemptSummary(
        succeeded=counts[AttemptStatus.SUCCEEDED],
        failed=counts[AttemptStatus.FAILED],
        lost=counts[AttemptStatus.LOST],
        execution=timedelta(seconds=median(seconds)) if seconds else None,
    )
