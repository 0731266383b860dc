"""Which job next, on which node. Knows nothing of how an attempt is made.

A claim is a lease: the runner that holds it renews it, and a lease that runs out is anybody's to adopt.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Max
from django.db.models.functions import Coalesce
from django.utils import timezone

from jobs import news, nodes
from jobs.models import Attempt, Job, Node, Served, StaleState
from jobs.services import Lease
from jobs.states import AttemptStatus, JobStatus

logger = structlog.get_logger(__name__)

MOST_LOGGED = 50


class Idle(Enum):
    """Why there is nothing to run now."""

    NOTHING_DUE = auto()
    NODES_FULL = auto()
    NO_HEALTHY_NODE = auto()


@dataclass(frozen=True)
class Claim:
    """A job that is ours to run until the lease runs out. `adopted`: an earlier runner began the attempt."""

    job: Job
    attempt: Attempt
    lease: Lease
    adopted: bool


def claim_next() -> Claim | Idle:
    """Take over an abandoned job, or claim the best due job for the least busy healthy node."""
    now = timezone.now()
    adopted = _adopt(now)
    if adopted is not None:
        return adopted
    if not Job.objects.due(now).exists():
        return Idle.NOTHING_DUE
    gate_is_open = False
    for node in Node.objects.in_service().with_load():
        if not nodes.is_healthy(node):
            continue
        if not gate_is_open:
            open_gate()
            gate_is_open = True
        claim = _claim_for(node)
        if claim is not None:
            return claim
    if gate_is_open:
        return Idle.NODES_FULL
    report_closed_gate()
    return Idle.NO_HEALTHY_NODE


def renew(lease: Lease, *, now: datetime) -> None:
    """Extend a lease. Raises StaleState where it was lost: the job ended, or somebody took it over."""
    if not lease.held().update(lease_until=now + settings.JOB_LEASE):
        raise StaleState("The lease was lost.")


def release(lease: Lease, *, now: datetime) -> None:
    """Give a lease up without ending the job, so that another runner adopts it at once."""
    lease.held().update(lease_until=now)


def report_closed_gate() -> None:
    """Say of queued jobs that they wait for a GPU; no attempt is consumed."""
    queued = Job.objects.filter(status=JobStatus.QUEUED)
    news = queued.filter(waiting_for_gpu=False)
    told = list(news.order_by("pk").only("pk", "request_id")[:MOST_LOGGED])
    if told:
        news.update(waiting_for_gpu=True)
    for job in told or queued.in_order().only("pk", "request_id")[:1]:
        logger.warning(
            f"ComfyUI health check failed for job {job.pk}, returning to queue",  # noqa: G004
            job_id=job.pk,
            request_id=job.request_id or None,
        )


def open_gate() -> None:
    """Take the mark off jobs that no longer wait for a GPU."""
    waiting = Job.objects.filter(status=JobStatus.QUEUED, waiting_for_gpu=True)
    if waiting.exists():  # a read, so that the usual case takes no write lock
        waiting.update(waiting_for_gpu=False)


def _adopt(now: datetime) -> Claim | None:
    for job in Job.objects.abandoned(now).order_by("lease_until")[:5]:
        lease = Lease(job.pk, uuid.uuid4())
        # Conditional on the dead runner's token: of two adopters, one finds it gone.
        abandoned = Job.objects.filter(pk=job.pk, lease_token=job.lease_token, lease_until__lte=now)
        with transaction.atomic():
            taken = abandoned.filter(status=JobStatus.RUNNING).update(
                lease_token=lease.token, lease_until=timezone.now() + settings.JOB_LEASE
            )
            if not taken:
                continue
            active = job.attempts.select_related("node").filter(status=AttemptStatus.ACTIVE)
            attempt = active.order_by("-number").first()
            if attempt is None:  # whatever did that, it must not stop the claims of everybody
                lease.held().advance(JobStatus.QUEUED, lease_token=None, lease_until=None)
                logger.error("A job ran without an attempt, it is queued again", job_id=job.pk)
                continue
        logger.warning(
            "Job adopted from a runner that is gone",
            job_id=job.pk,
            attempt=attempt.number,
            request_id=job.request_id or None,
        )
        return Claim(job, attempt, lease, adopted=True)
    return None


def _claim_for(node: Node) -> Claim | None:
    now = timezone.now()
    with transaction.atomic():
        # Locking every node makes claims one after another: the caps below are exact, not nearly so.
        list(Node.objects.select_for_update().order_by("pk").values_list("pk", flat=True))
        if node.attempts.filter(status=AttemptStatus.ACTIVE).count() >= settings.COMFYUI_NODE_DEPTH:
            return None
        at_cap = (
            Job.objects.filter(status=JobStatus.RUNNING)
            .values("user")
            .annotate(running=Count("pk"))
            .filter(running__gte=settings.MAX_RUNNING_JOBS_PER_USER)
            .values("user")
        )
        job = Job.objects.due(now).exclude(user__in=at_cap).in_order().first()
        if job is None:
            return None
        lease = Lease(job.pk, uuid.uuid4())
        try:
            Job.objects.filter(pk=job.pk, status=JobStatus.QUEUED).advance(
                JobStatus.RUNNING,
                lease_token=lease.token,
                lease_until=now + settings.JOB_LEASE,
                started_at=Coalesce(F("started_at"), now),
                next_attempt_at=None,
                waiting_for_gpu=False,
            )
        except StaleState:  # cancelled between the two statements
            return None
        number = (job.attempts.aggregate(last=Max("number"))["last"] or 0) + 1
        attempt = Attempt.objects.create(job=job, node=node, number=number, created_at=now)
        Served.objects.update_or_create(user_id=job.user_id, defaults={"at": now})
        news.tell(job.pk)
    return Claim(job, attempt, lease, adopted=False)
