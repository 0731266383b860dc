"""Writes about jobs: submit, cancel, settle. Each is one transaction; a crash at any line loses nothing."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, BinaryIO

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from jobs import fairness, news, pictures
from jobs.estimates import estimate
from jobs.models import Attempt, Job, JobImage, JobQuerySet, StaleState
from jobs.policy import check_prompt
from jobs.signals import EndOfJob, tell_end
from jobs.states import AttemptStatus, JobStatus
from jobs.wakeups import wake_queue
from jobs.wishes import SEED_BITS, Wish
from payments import ledger
from qwenedit.errors import DomainError
from qwenedit.lib.compiled import Compiled, CompiledInsert, CompiledNumbers, CompiledUpdate, together
from qwenedit.lib.images import Picture, normalise_upload, read_limited
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

MOST_ATTEMPTS = 10


class TooManyJobs(DomainError):
    """The user has as many unfinished edits as one user may have."""

    code = "too_many_jobs"
    status = 429
    retryable = True


class IdempotencyMismatch(DomainError):
    """The idempotency key was used before, for another request."""

    code = "idempotency_mismatch"
    status = 409


class Blocked(DomainError):
    """The account may not use the service."""

    code = "unauthorized"
    status = 401


def _build_unfinished(user: int, priority: int) -> QuerySet[Job, Any]:
    """Return how many unfinished jobs a user has, and the last turn of those of a class."""
    own = Job.objects.unfinished().filter(user=user).order_by().values("user")
    counted = own.annotate(count=Count("pk"), last=Max("turn", filter=Q(priority=priority)))
    return counted.values_list("count", "last")


_unfinished = CompiledNumbers(_build_unfinished)
# `no_key`, as everywhere: a claim, which holds all nodes, writes rows that refer to the user.
_lock_user = Compiled(
    lambda user: User.objects.select_for_update(no_key=True).filter(pk=user).only("balance")
)
_insert = CompiledInsert(Job)


@dataclass(frozen=True)
class Submission:
    """What `submit_job` did: the job, and whether this call made it or an equal one before."""

    job: Job
    created: bool


def submit_job(
    *,
    user: User,
    wish: Wish,
    images: Sequence[BinaryIO | bytes],
    idempotency_key: str | None = None,
    priority: Job.Priority = Job.Priority.INTERACTIVE,
    request_id: str = "",
    webhook_url: str = "",
) -> Submission:
    """Check, charge and queue an edit, in one transaction; then wake the queue.

    The same key with the same request returns the first job and charges once, however many calls run at
    once. Raises Blocked, InvalidRequest, PromptRejected, InvalidImage, ImageTooLarge, InsufficientPoints,
    TooManyJobs or IdempotencyMismatch; then nothing is charged and no row or file is left.
    """
    if user.is_blocked or not user.is_active:
        raise Blocked("This account is blocked.")
    uploads = [read_limited(image, max_bytes=settings.MAX_UPLOAD_BYTES) for image in images]
    fingerprint = _fingerprint(wish, uploads, webhook_url)
    if idempotency_key is not None:
        earlier = _replayed(user, idempotency_key, fingerprint)
        if earlier is not None:
            return earlier
    wish.check(photos=len(images))
    if wish.preset is None:
        check_prompt(wish.prompt)
    inputs = [normalise_upload(BytesIO(data), max_bytes=settings.MAX_UPLOAD_BYTES) for data in uploads]
    now = timezone.now()
    with pictures.stored(JobImage.Role.INPUT, inputs, now=now) as names, transaction.atomic():
        # The user's row is the lock: of two equal requests at once, the second sees the first one's job.
        [locked], own, *served = together(
            _lock_user.of(user.pk), _unfinished.of(user.pk, priority), *fairness.served(user.pk, priority)
        )
        if idempotency_key is not None:
            earlier = _replayed(user, idempotency_key, fingerprint)
            if earlier is not None:
                pictures.delete_files(names)
                return earlier
        limit = settings.MAX_ACTIVE_JOBS_PER_USER
        unfinished, last_turn = own[0] if own else (0, None)
        if unfinished >= limit:
            raise TooManyJobs(f"You have {limit} unfinished edits. Wait for one to finish.", limit=limit)
        job = Job(
            user=user,
            preset=wish.preset,
            prompt=wish.prompt,
            # Fresh for every job: a fixed seed would make ComfyUI return the same picture from its cache.
            seed=secrets.randbits(SEED_BITS) if wish.seed is None else wish.seed,
            price=wish.price,
            priority=priority,
            turn=fairness.next_turn(*served, waiting=last_turn),
            created_at=now,
            request_id=request_id,
            webhook_url=webhook_url,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )
        place = estimate(job)
        job.receipt = {
            "balance": locked.balance - job.price,
            "position": place.position if place else None,
            "eta_seconds": place.eta_seconds if place else None,
        }
        _insert(job)
        together(*map(pictures.insert.of, pictures.rows(job, JobImage.Role.INPUT, inputs, names)))
        ledger.charge_job(user_id=user.pk, job_id=job.pk, points=job.price, description=wish.title)
        transaction.on_commit(wake_queue)
    logger.info("Job submitted", job_id=job.pk, user_id=user.pk, price=job.price)
    return Submission(job, created=True)


def cancel_job(*, job: Job) -> Job:
    """Cancel a job and give its points back, unless it is already finished. Repeating it changes nothing.

    Returns the job as it is afterwards: `cancelled`, or however it ended first. A prompt that is still on
    a node is taken off it by its runner, or by the sweep where the runner is gone.
    """
    with transaction.atomic():
        try:
            Job.objects.filter(pk=job.pk).advance(
                JobStatus.CANCELLED,
                finished_at=timezone.now(),
                lease_token=None,
                lease_until=None,
                waiting_for_gpu=False,
            )
        except StaleState:
            return Job.objects.get(pk=job.pk)
        job = Job.objects.get(pk=job.pk)
        _give_back(job, why="cancelled")
    logger.info("Job cancelled", job_id=job.pk, user_id=job.user_id)
    return job


@dataclass(frozen=True)
class Lease:
    """The right to write about a running job: whoever holds a newer token has taken it over."""

    job_id: int
    token: uuid.UUID

    def held(self) -> JobQuerySet:
        """Return the query that names the job only while this lease holds."""
        return Job.objects.filter(pk=self.job_id, status=JobStatus.RUNNING, lease_token=self.token)


_succeed = CompiledUpdate(
    lambda job, token, now: (
        Lease(job, token)
        .held()
        .advancing(JobStatus.SUCCEEDED, progress=100, finished_at=now, lease_token=None, lease_until=None)
    )
)


_attempt_succeeded = CompiledUpdate(
    lambda attempt, submitted, executing, now: (
        Attempt.objects.filter(pk=attempt, status=AttemptStatus.ACTIVE),
        {
            "status": AttemptStatus.SUCCEEDED,
            "submitted_at": submitted,
            "executing_at": executing,
            "finished_at": now,
        },
    )
)


def settle_success(*, lease: Lease, attempt: Attempt, result: Picture) -> Job:
    """Store the result and end the job. Raises StaleState, leaving no file, where the lease was lost."""
    now = timezone.now()
    job = attempt.job
    with (
        pictures.stored(JobImage.Role.RESULT, [result], now=now) as names,
        transaction.atomic(),
    ):
        executing = attempt.executing_at or now
        [row] = pictures.rows(job, JobImage.Role.RESULT, [result], names)
        end = EndOfJob(job)
        held, _, stored, *answers = together(
            _succeed.of(lease.job_id, lease.token, now),
            # Of an attempt that was adopted nobody may know when it was submitted: at the latest by then.
            _attempt_succeeded.of(attempt.pk, attempt.submitted_at or executing, executing, now),
            # Before the news, which show it; whoever lost the lease finds another's result there.
            pictures.insert_once.of(row),
            *end.questions,
        )
        if not held:
            raise StaleState.of(JobStatus.SUCCEEDED)
        if not stored:
            raise IntegrityError(f"The result of job {job.pk} can not be inserted.")
        # What nobody changes while it runs needs no reading again.
        job.status, job.progress, job.finished_at = JobStatus.SUCCEEDED, 100, now
        job.lease_token = job.lease_until = None
        end.tell(answers)
        news.tell(job.pk)
    logger.info("Job succeeded", seconds=round((now - job.created_at).total_seconds(), 3))
    return job


def settle_failure(
    *,
    lease: Lease,
    attempt: Attempt,
    code: str,
    message: str,
    detail: str,
    retryable: bool,
    at_once: bool = False,
    consumed: bool = True,
) -> Job:
    """End an attempt that failed: queue the job again, or fail it and give the points back.

    `message` is for the user, `detail` for the operator. `at_once` leaves out the pause before the next
    attempt: it was the node that failed, and others may not. `consumed` is False where the node was lost
    before it began: no fault of the job's, but bounded by MOST_ATTEMPTS, lest an edit that kills whoever
    takes it do so for ever. Raises StaleState where the lease was lost.
    """
    now = timezone.now()
    with transaction.atomic():
        job = lease.held().select_for_update().first()
        if job is None:
            raise StaleState("Somebody else took the job over.")
        failures = job.failures + consumed
        again = retryable and failures < settings.JOB_MAX_ATTEMPTS and attempt.number < MOST_ATTEMPTS
        _end_attempt(
            attempt,
            AttemptStatus.FAILED if consumed else AttemptStatus.LOST,
            now=now,
            error_code=code,
            error_detail=detail,
        )
        common = {"failures": failures, "lease_token": None, "lease_until": None, "progress": 0}
        if again:
            delays = settings.JOB_RETRY_DELAYS
            has_pause = consumed and not at_once
            delay = delays[min(failures, len(delays)) - 1] if has_pause else timedelta(0)
            lease.held().advance(JobStatus.QUEUED, next_attempt_at=now + delay, **common)
            news.tell(job.pk)
            job.refresh_from_db()
        else:
            lease.held().advance(
                JobStatus.FAILED, error_code=code, error_message=message, finished_at=now, **common
            )
            job.refresh_from_db()
            _give_back(job, why="failed")
    logger.warning(
        "Attempt failed", attempt=attempt.number, code=code, reason=detail, retry=again, failures=failures
    )
    return job


def close_attempt(*, attempt: Attempt) -> None:
    """End an attempt whose job ended, or moved on, without it."""
    _end_attempt(attempt, AttemptStatus.CANCELLED, now=timezone.now())


def _give_back(job: Job, *, why: str) -> None:
    """Complete a transition to an end without a result inside its transaction: points back, news out."""
    ledger.refund_job(user_id=job.user_id, job_id=job.pk, points=job.price, reason=f"Job {job.pk} {why}")
    tell_end(job)
    news.tell(job.pk)


def _end_attempt(attempt: Attempt, status: AttemptStatus, *, now: datetime, **fields: str) -> None:
    Attempt.objects.filter(pk=attempt.pk, status=AttemptStatus.ACTIVE).update(
        status=status,
        submitted_at=attempt.submitted_at,
        executing_at=attempt.executing_at,
        finished_at=now,
        **fields,
    )


def _replayed(user: User, key: str, fingerprint: str) -> Submission | None:
    job = Job.objects.filter(user=user, idempotency_key=key).first()
    if job is None:
        return None
    if job.fingerprint != fingerprint:
        raise IdempotencyMismatch("This Idempotency-Key was used for another request.")
    return Submission(job, created=False)


def _fingerprint(wish: Wish, uploads: Sequence[bytes], webhook_url: str) -> str:
    preset = wish.preset.slug if wish.preset else None
    words = [preset, None if preset else wish.prompt, wish.seed, webhook_url]
    parts = [json.dumps(words), *(hashlib.sha256(data).hexdigest() for data in uploads)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
