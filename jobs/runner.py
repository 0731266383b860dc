"""Runs jobs: claims one, makes an attempt at it, and settles how that went."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone

from jobs import attempts, breaker, nodes, scheduler
from jobs.attempts import AttemptRun, TooManyAdoptions, WorkerStopping
from jobs.capacity import THREADS_FOR_OTHERS
from jobs.comfy.errors import ComfyError, ComfyUnreachable, PromptLost
from jobs.comfy.kept_stream import KeptStream
from jobs.leases import LeaseKeeper
from jobs.models import Attempt, Node, StaleState
from jobs.scheduler import Claim, Idle
from jobs.services import close_attempt, settle_failure, settle_success
from jobs.states import AttemptStatus, JobStatus
from jobs.wakeups import wake_queue

logger = structlog.get_logger(__name__)

POINTS_ARE_BACK = "Your points are back."


LOOK_AROUND_EVERY = 1.0  # seconds


class _Places:
    """How many threads of this process run jobs, and room for no more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.taken = 0

    @contextmanager
    def one(self) -> Iterator[bool]:
        """Take a place for the length of a block; yields whether there was one."""
        with self._lock:
            is_mine = self.taken < self._most
            self.taken += is_mine
        try:
            yield is_mine
        finally:
            with self._lock:
                self.taken -= is_mine


_next_look = 0.0
_places = _Places(max(1, settings.WORKER_THREADS - THREADS_FOR_OTHERS))


def run_all() -> Idle:
    """Run one job after another until there is nothing to claim, and return why.

    Whoever finishes a job claims the next one itself: a busy queue needs no messages. Others are woken only
    where a claim leaves room for them. What was abandoned comes first: a process looks for it once a second,
    and whoever is about to stop looks once more.
    """
    global _next_look
    with _places.one() as is_mine:
        if not is_mine:
            return Idle.WORKER_FULL
        is_last = False
        with KeptStream() as kept:
            while True:
                now = time.monotonic()
                looks_around = is_last or now >= _next_look
                if looks_around:
                    _next_look = now + LOOK_AROUND_EVERY
                outcome = run_next(kept, look_around=looks_around)
                if looks_around and not isinstance(outcome, Claim):
                    return outcome
                is_last = not isinstance(outcome, Claim)


def run_next(kept: KeptStream, *, look_around: bool = True) -> Claim | Idle:
    """Claim what should run next and see it to its end; return what was claimed, or why nothing was."""
    global _next_look
    if attempts.stopping.is_set():
        return Idle.NOTHING_DUE
    claim = scheduler.claim_next(look_around=look_around, client_ids=kept.client_ids)
    if isinstance(claim, Claim):
        if claim.adopted:  # where one was abandoned, there may be more
            _next_look = 0.0
        if _places.taken < claim.useful_runners:
            wake_queue()
        with structlog.contextvars.bound_contextvars(
            request_id=claim.job.request_id or None, job_id=claim.job.pk, user_id=claim.job.user_id
        ):
            _run(claim, kept)
    return claim


def _run(claim: Claim, kept: KeptStream) -> None:
    try:
        with LeaseKeeper(claim.lease, longest=attempts.longest_attempt()) as keeper:
            _perform(claim, keeper, kept)
    except StaleState:
        leave(claim.attempt)
    except WorkerStopping:
        scheduler.release(claim, now=timezone.now())
        logger.info("Worker stops, the job is left to be adopted", attempt=claim.attempt.number)
    except (OperationalError, InterfaceError):
        # The result, if any, is still on the node: whoever adopts the job collects it.
        logger.exception("Database lost during an attempt, the job is left to be adopted")
        close_old_connections()


def _perform(claim: Claim, keeper: LeaseKeeper, kept: KeptStream) -> None:
    attempt = claim.attempt
    try:
        with kept.of(attempt.node.url, attempt.listens_as, str(attempt.pk)) as events:
            result = AttemptRun(claim, keeper).perform(events)
            # Within: where another runner has taken the job, it may listen by the same client id.
            settle_success(lease=claim.lease, attempt=attempt, result=result)
        breaker.note_success(attempt.node)
    except (StaleState, WorkerStopping, OperationalError, InterfaceError):
        raise
    except ComfyError as error:
        if error.operator_alarm:
            logger.error(  # noqa: TRY400  (the detail says it; a traceback of ours does not)
                "Operator alarm: edits fail until this is repaired",
                code=error.code,
                node=attempt.node.name,
                reason=error.detail,
            )
        if isinstance(error, ComfyUnreachable):
            nodes.distrust(attempt.node, error.detail)
        # An attempt that was adopted before the node accepted it failed with its worker, not by itself.
        is_workers_loss = isinstance(error, PromptLost) and claim.adopted and attempt.submitted_at is None
        if not is_workers_loss:
            breaker.note_failure(attempt.node, error, began=attempt.created_at)
        # One node that is set up wrongly fails at once, so it is always free: it would fail every edit.
        elsewhere = error.pauses_at_once and nodes.another_works(attempt.node)
        _settle_failure(
            claim,
            code=error.code,
            message=error.message,
            detail=error.detail,
            retryable=error.retryable or elsewhere,
            at_once=error.is_nodes_loss or elsewhere,
            # What the node had not begun is not what took the node away.
            consumed=not (error.is_nodes_loss and attempt.executing_at is None),
        )
    except Exception as error:
        logger.exception("Attempt failed by a mistake of ours", attempt=attempt.number)
        _settle_failure(
            claim,
            code="internal_error",
            message="Something went wrong on our side.",
            detail=f"{type(error).__name__}: {error}".replace("\0", ""),
            # The next attempt would come to the same result.
            retryable=not isinstance(error, TooManyAdoptions),
        )


def _settle_failure(
    claim: Claim,
    *,
    code: str,
    message: str,
    detail: str,
    retryable: bool,
    at_once: bool = False,
    consumed: bool = True,
) -> None:
    # Whoever has adopted the attempt follows the very same prompt: it is theirs to cancel.
    scheduler.renew(claim.lease, now=timezone.now())
    _take_off(claim.attempt)
    settle_failure(
        lease=claim.lease,
        attempt=claim.attempt,
        code=code,
        message=f"{message} {POINTS_ARE_BACK}",
        detail=detail,
        retryable=retryable,
        at_once=at_once,
        consumed=consumed,
    )


def leave(attempt: Attempt) -> None:
    """Walk away from an attempt whose lease is lost; take its prompt off the node unless it is needed."""
    now = Attempt.objects.select_related("job", "node").get(pk=attempt.pk)
    is_followed = now.status == AttemptStatus.ACTIVE and now.job.status == JobStatus.RUNNING
    if is_followed or now.status == AttemptStatus.SUCCEEDED:
        return
    # Also where the attempt has ended: our prompt may have reached the node after that.
    _take_off(now)
    close_attempt(attempt=now)
    logger.info("Attempt taken off its node", attempt=now.number, job_id=now.job_id)


def _take_off(attempt: Attempt) -> None:
    """Cancel the prompt on its node; not on a silent one, which would keep the job from the others."""
    node = Node.objects.get(pk=attempt.node_id)
    if node.is_silent:
        return
    with suppress(ComfyError):
        nodes.client_of(node).cancel(str(attempt.pk))
