"""Reads for operators: what the metrics say of jobs and nodes."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Count

from jobs.models import Attempt, Job, Node, NodeQuerySet
from jobs.states import JobStatus


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
    recent = Attempt.objects.filter(finished_at__gt=now - timedelta(hours=1)).exclude(error_code="")
    return dict(recent.order_by().values_list("error_code").annotate(count=Count("pk")))


def nodes() -> NodeQuerySet:
    """Return the enabled nodes with their load."""
    return Node.objects.filter(is_enabled=True).with_load()
