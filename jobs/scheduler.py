"""Which job next, on which node. Knows nothing of how an attempt is made.

A claim is a lease: the runner that holds it renews it, and a lease that runs out is anybody's to adopt.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from types import MappingProxyType

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.utils import timezone

from jobs import breaker, fairness, news, nodes, pictures
from jobs.models import Attempt, Job, JobImage, Node, StaleState
from jobs.services import Lease
from jobs.states import AttemptStatus, JobStatus
from qwenedit.lib.compiled import Compiled, CompiledInsert, CompiledNumbers, CompiledUpdate, together

logger = structlog.get_logger(__name__)

ClientIds = Mapping[str, uuid.UUID]  # of ComfyUI's WebSockets, by the address of the node
MOST_LOGGED = 50
MOST_ADOPTERS = 5  # that look for abandoned work at once


class Idle(Enum):
    """Why there is nothing to run now."""

    NOTHING_DUE = auto()
    NODES_FULL = auto()
    NO_HEALTHY_NODE = auto()
    WORKER_FULL = auto()


@dataclass(frozen=True)
class Claim:
    """A job that is ours to run until the lease runs out.

    `adopted`: an earlier runner began the attempt. `inputs`: the user's pictures in their order; none where
    it is adopted, as the node has them. `useful_runners`: how many may be at work at once; 1 where nobody
    else would find any.
    """

    job: Job
    attempt: Attempt
    lease: Lease
    adopted: bool
    inputs: Sequence[JobImage] = ()
    useful_runners: int = 1


def claim_next(*, look_around: bool = True, client_ids: ClientIds = MappingProxyType({})) -> Claim | Idle:
    """Take over an abandoned job, or claim the best due job for the least busy healthy node.

    Without `look_around` only the latter: for whoever has just looked, or whose process has. `client_ids`:
    those by which the runner listens already.
    """
    if look_around:
        now = timezone.now()
        adopted = _adopt(now)
        if adopted is not None:
            return adopted
        if not _first_due(now):
            return Idle.NOTHING_DUE
    asked: dict[int, bool] = {}
    while not isinstance(
        outcome := _claim(asked, look_around=look_around, client_ids=client_ids), Claim | Idle
    ):
        if outcome is not None:  # never within the transaction: it may take seconds
            asked[outcome.pk] = nodes.is_healthy(outcome)
    if look_around:
        if outcome is Idle.NO_HEALTHY_NODE:
            report_closed_gate()
        elif isinstance(outcome, Idle):
            open_gate()
    return outcome


def renew(lease: Lease, *, now: datetime) -> None:
    """Extend a lease. Raises StaleState where it was lost: the job ended, or somebody took it over."""
    if not lease.held().update(lease_until=now + settings.JOB_LEASE):
        raise StaleState("The lease was lost.")


def release(claim: Claim, *, now: datetime) -> None:
    """Give a job up without ending it, so that another runner adopts it at once.

    Whoever hands it on has not died of it: the adoption by which it came does not count.
    """
    with transaction.atomic():
        if claim.lease.held().update(lease_until=now) and claim.adopted:
            Attempt.objects.filter(pk=claim.attempt.pk).update(adoptions=F("adoptions") - 1)


def report_closed_gate() -> None:
    """Say of queued jobs that they wait for a GPU; no attempt is consumed."""
    queued = Job.objects.filter(status=JobStatus.QUEUED)
    untold = queued.filter(waiting_for_gpu=False)
    told = list(untold.order_by("pk").only("pk", "request_id")[:MOST_LOGGED])
    if told:
        untold.update(waiting_for_gpu=True)
    for job in told or queued.in_order().only("pk", "request_id")[:1]:
        logger.warning(
            f"ComfyUI health check failed for job {job.pk}, returning to queue",  # noqa: G004
            job_id=job.pk,
            request_id=job.request_id or None,
        )


def open_gate() -> None:
    """Take the mark off jobs that no longer wait for a GPU."""
    if _first_waiting():  # a read, so that the usual case takes no write lock
        Job.objects.filter(status=JobStatus.QUEUED, waiting_for_gpu=True).update(waiting_for_gpu=False)


def _adopt(now: datetime) -> Claim | None:
    for job in _abandoned(now):
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
            attempt.adoptions += 1
            attempt.save(update_fields=["adoptions"])
        logger.warning(
            "Job adopted from a runner that is gone",
            job_id=job.pk,
            attempt=attempt.number,
            request_id=job.request_id or None,
        )
        return Claim(job, attempt, lease, adopted=True, useful_runners=MOST_ADOPTERS)
    return None


def _claim(
    asked: Mapping[int, bool], *, look_around: bool, client_ids: ClientIds
) -> Claim | Idle | Node | None:
    """Claim for the least busy node that is healthy; returns a node that must be asked first whether it is.

    `asked` holds what nodes have answered to that. Returns None, changing nothing, where the job was
    cancelled meanwhile: another may be due.
    """
    with suppress(StaleState), transaction.atomic():
        # Locking them makes claims one after another, and what is read behind the lock is the latest: the
        # caps below are exact, not nearly so.
        in_service, active, best = together(
            _lock_nodes.of(), _loads.of(), _best_due.of(timezone.now(), settings.MAX_RUNNING_JOBS_PER_USER)
        )
        loads: dict[int, int] = dict(active)
        now = timezone.now()
        has_full = False
        node: Node
        for node in sorted(in_service, key=lambda row: (row.is_healthy is False, loads.get(row.pk, 0))):
            if loads.get(node.pk, 0) >= max(1, breaker.depth(node, now)):
                has_full = has_full or node.is_healthy is not False
                continue
            known = nodes.known_health(node, answer=asked.get(node.pk))
            if known is None:
                return node
            if known and not best:
                return Idle.NOTHING_DUE
            if known:
                attempt = Attempt(node=node, created_at=now, client_id=client_ids.get(node.url))
                runners = _useful_runners(in_service, loads, now) if len(best) > 1 else 1
                return _claim_for(attempt, best[0], useful_runners=runners, look_around=look_around)
        return Idle.NODES_FULL if has_full else Idle.NO_HEALTHY_NODE
    return None


def _claim_for(attempt: Attempt, job: Job, *, useful_runners: int, look_around: bool) -> Claim:
    """Claim a job by a new attempt. Raises StaleState where it was cancelled since it was read."""
    now = attempt.created_at
    lease = Lease(job.pk, uuid.uuid4())
    until, started = now + settings.JOB_LEASE, job.started_at or now
    attempt.job, attempt.number = job, job.attempts_made + 1
    begun, _, inputs, served = together(
        _begin.of(job.pk, lease.token, until, started),
        _insert.of(attempt),
        pictures.inputs.of(job.pk),
        fairness.serving(job, now),
    )
    if not begun:
        raise StaleState.of(JobStatus.RUNNING)
    if not served:
        fairness.serve_first(job, now)
    if job.waiting_for_gpu or look_around:
        # So may others be marked; the claim holds, whatever becomes of that.
        transaction.on_commit(open_gate, robust=True)
    job.status, job.started_at, job.next_attempt_at = JobStatus.RUNNING, started, None
    job.lease_token, job.lease_until, job.waiting_for_gpu = lease.token, until, False
    news.tell(job.pk)
    return Claim(job, attempt, lease, adopted=False, inputs=inputs, useful_runners=useful_runners)


def _useful_runners(in_service: Sequence[Node], loads: Mapping[int, int], now: datetime) -> int:
    """Return how many runners the attempts in flight and the free places want, whoever asks included.

    Attempts on nodes that take no more count, for their runners are not free. Only one where no place is
    left behind this claim.
    """
    free = sum(
        max(0, breaker.depth(node, now) - loads.get(node.pk, 0))
        for node in in_service
        if node.is_healthy is not False
    )
    return sum(loads.values()) + free if free > 1 else 1


def _build_best_due(now: datetime, cap: int) -> QuerySet[Job]:
    """Return the next two due jobs, passing over users who have `cap` of them at work."""
    at_cap = (
        Job.objects.filter(status=JobStatus.RUNNING)
        .values("user")
        .annotate(running=Count("pk"))
        .filter(running__gte=cap)
        .values("user")
    )
    return Job.objects.due(now).exclude(user__in=at_cap).in_order().with_attempts_made()[:2]


_begin = CompiledUpdate(
    lambda job, token, until, started: Job.objects.filter(pk=job, status=JobStatus.QUEUED).advancing(
        JobStatus.RUNNING,
        lease_token=token,
        lease_until=until,
        started_at=started,
        next_attempt_at=None,
        waiting_for_gpu=False,
    )
)
_insert = CompiledInsert(Attempt)
_best_due = Compiled(_build_best_due)
_first_due = Compiled(lambda now: Job.objects.due(now).in_order().only("pk")[:1])
_first_waiting = Compiled(
    lambda: Job.objects.filter(status=JobStatus.QUEUED, waiting_for_gpu=True).order_by("id").only("pk")[:1]
)
_abandoned = Compiled(lambda now: Job.objects.abandoned(now).order_by("lease_until")[:MOST_ADOPTERS])
_lock_nodes = Compiled(lambda: Node.objects.in_service().select_for_update().order_by("pk"))
_loads = CompiledNumbers(
    lambda: (
        Attempt.objects.filter(status=AttemptStatus.ACTIVE)
        .order_by()
        .values("node")
        .annotate(count=Count("pk"))
        .values_list("node", "count")
    )
)
