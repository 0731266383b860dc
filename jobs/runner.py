"""One attempt at a job, from claim to settle.

Events are the fast path and the poll is the truth. Every write is fenced by the lease: a runner that was
too slow finds that the job is no longer its own, and changes nothing. Nothing here holds a transaction
open while it talks to a node.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress
from datetime import datetime

import structlog
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections
from django.utils import timezone

from jobs import nodes, pictures, scheduler
from jobs.comfy.answers import OutputImage, PromptState
from jobs.comfy.errors import (
    AttemptTimeout,
    ComfyError,
    ComfyUnreachable,
    ExecutionFailed,
    Interrupted,
    OutOfMemory,
    PromptLost,
    ResultMissing,
    UnexpectedAnswer,
)
from jobs.comfy.events import Disconnected, Event, EventStream, Failed, ProgressMeter, Started, Success
from jobs.comfy.workflow import ModelFiles, Workflow, WorkflowInputs
from jobs.models import Attempt, JobImage, StaleState
from jobs.scheduler import Claim, Idle
from jobs.services import close_attempt, settle_failure, settle_success
from jobs.states import AttemptStatus, JobStatus
from qwenedit.lib.images import ImageTooLarge, InvalidImage, Picture, strip_result

logger = structlog.get_logger(__name__)

TICK = 1.0  # seconds between looks at the lease
POLL_BESIDE_EVENTS = 3.0
POLL_ALONE = 1.0
RENEW_EVERY = 2.0
PROGRESS_EVERY = 0.5
UNREACHABLE_GRACE = 15.0  # a node may be silent for this long before its attempt is given up
PENDING_GRACE = 60.0  # beyond the time that the attempts ahead of ours may take
LARGEST_RESULT = 64 * 1024 * 1024
NOTHING_CHARGED = "Your points are back."

_stopping = threading.Event()


class WorkerStopping(Exception):
    """The worker was asked to stop: leave the attempt to whoever adopts it."""


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop_runners(**_signal: object) -> None:
    _stopping.set()


def run_next() -> Claim | Idle:
    """Claim what should run next and see it to its end; return what was claimed, or why nothing was."""
    if _stopping.is_set():
        return Idle.NOTHING_DUE
    claim = scheduler.claim_next()
    if isinstance(claim, Claim):
        with structlog.contextvars.bound_contextvars(
            request_id=claim.job.request_id or None, job_id=claim.job.pk, user_id=claim.job.user_id
        ):
            _run(claim)
    return claim


def _run(claim: Claim) -> None:
    job, attempt, lease = claim.job, claim.attempt, claim.lease
    try:
        result = AttemptRun(claim).perform()
        settle_success(lease=lease, attempt=attempt, result=result)
    except StaleState:
        leave(attempt)
    except WorkerStopping:
        scheduler.release(lease, now=timezone.now())
        logger.info("Worker stops, the job is left to be adopted", attempt=attempt.number)
    except ComfyError as error:
        if error.operator_alarm:
            logger.error(  # noqa: TRY400  (the detail says it; a traceback of ours does not)
                "Operator alarm: edits fail until this is repaired",
                code=error.code,
                node=attempt.node.name,
                reason=error.detail,
            )
        _settle_failure(
            claim,
            code=error.code,
            message=error.message,
            detail=error.detail,
            retryable=error.retryable,
            # An attempt that was adopted before the node accepted it failed with its worker, not by itself.
            consumed=not (isinstance(error, PromptLost) and claim.adopted and attempt.submitted_at is None),
        )
    except DatabaseError:
        # The result, if any, is still on the node: whoever adopts the job collects it.
        logger.exception("Database lost during an attempt, the job is left to be adopted", job_id=job.pk)
        close_old_connections()
    except Exception as error:
        logger.exception("Attempt failed by a mistake of ours", attempt=attempt.number)
        _settle_failure(
            claim,
            code="internal_error",
            message="Something went wrong on our side.",
            detail=f"{type(error).__name__}: {error}",
            retryable=True,
        )


def _settle_failure(
    claim: Claim, *, code: str, message: str, detail: str, retryable: bool, consumed: bool = True
) -> None:
    with suppress(ComfyError):
        nodes.client_of(claim.attempt.node).cancel(str(claim.attempt.pk))
    try:
        settle_failure(
            lease=claim.lease,
            attempt=claim.attempt,
            code=code,
            message=f"{message} {NOTHING_CHARGED}",
            detail=detail,
            retryable=retryable,
            consumed=consumed,
        )
    except StaleState:
        leave(claim.attempt)


def leave(attempt: Attempt) -> None:
    """Walk away from an attempt whose lease is lost; take its prompt off the node if the job has ended."""
    now = Attempt.objects.select_related("job", "node").get(pk=attempt.pk)
    if now.status != AttemptStatus.ACTIVE or now.job.status == JobStatus.RUNNING:
        return  # somebody else follows this attempt, or has ended it
    with suppress(ComfyError):
        nodes.client_of(now.node).cancel(str(now.pk))
    close_attempt(attempt=now)
    logger.info("Attempt taken off its node", attempt=now.number, job_id=now.job_id)


class AttemptRun:
    """The steps of one attempt. `perform` returns the result or raises; it settles nothing."""

    def __init__(self, claim: Claim) -> None:
        self.job = claim.job
        self.attempt = claim.attempt
        self.lease = claim.lease
        self.adopted = claim.adopted
        self.client = nodes.client_of(claim.attempt.node)
        self.workflow = Workflow.load(settings.COMFYUI_WORKFLOW)
        self.prompt_id = str(claim.attempt.pk)
        self.renewed = self.began = time.monotonic()
        self.executing: float | None = None
        self.meter = ProgressMeter(self.workflow.sampler_node)
        self.told_progress = 0
        self.told_at = 0.0

    def perform(self) -> Picture:
        """Upload, submit, follow and collect. Raises ComfyError, StaleState or WorkerStopping."""
        with ExitStack() as stack:
            events = EventStream(
                self.attempt.node.url, client_id=self.attempt.pk.hex, prompt_id=self.prompt_id
            )
            stack.enter_context(events)
            if not self.adopted:
                self._submit()
            outputs = self._follow(events)
        return self._collect(outputs)

    def _submit(self) -> None:
        inputs = list(self.job.images.filter(role=JobImage.Role.INPUT).order_by("position"))
        references = []
        for image in inputs:
            self._keep_lease(now=True)
            # Named by content: sent again, the same picture makes no second file on the node, and no
            # late writer can put one user's picture under another's name.
            name = f"{image.sha256[:40]}.{image.file.name.rpartition('.')[2]}"
            references.append(self.client.upload_image(pictures.read(image), name, subfolder="qwenedit"))
        width, height = self.workflow.model_size(inputs[0].width, inputs[0].height)
        graph = self.workflow.build(
            WorkflowInputs(
                pictures=references,
                prompt=self.job.prompt,
                negative=settings.COMFYUI_NEGATIVE_PROMPT or None,
                seed=self.job.seed,
                steps=settings.COMFYUI_STEPS or None,
                lightning=settings.COMFYUI_LIGHTNING and self.workflow.has_lightning,
                width=width,
                height=height,
                filename_prefix=f"qwenedit/{self.prompt_id}/r",
                models=ModelFiles(
                    diffusion=settings.COMFYUI_MODEL or None,
                    text_encoder=settings.COMFYUI_TEXT_ENCODER or None,
                    vae=settings.COMFYUI_VAE or None,
                    lora=settings.COMFYUI_LORA or None,
                ),
            )
        )
        self._keep_lease(now=True)
        try:
            self.client.submit(
                graph, self.prompt_id, self.attempt.pk.hex, output_node=self.workflow.output_node
            )
        except ComfyUnreachable as error:
            # It may have arrived. Never post it again: the poll will tell.
            logger.warning("Outcome of the submission is unknown", reason=error.detail)
        self._record(submitted_at=timezone.now())

    def _follow(self, events: EventStream) -> tuple[OutputImage, ...]:
        next_poll = time.monotonic() + (0 if self.adopted else POLL_BESIDE_EVENTS)
        silent_since: float | None = None
        stalled_since: float | None = None
        while True:
            self._keep_lease()
            self._check_deadlines()
            event = events.next(timeout=max(0.0, min(TICK, next_poll - time.monotonic())))
            if event is not None:
                self._take(event)
                if isinstance(event, Disconnected):
                    events.reconnect()
                if isinstance(event, Success | Failed | Disconnected):
                    next_poll = time.monotonic()
            now = time.monotonic()
            if now < next_poll:
                continue
            next_poll = now + (POLL_BESIDE_EVENTS if events.is_connected else POLL_ALONE)
            try:
                status = self.client.status(self.prompt_id, output_node=self.workflow.output_node)
                if status.state is PromptState.PENDING and self.client.queue().is_stalled:
                    stalled_since = stalled_since or now
                else:
                    stalled_since = None
            except (ComfyUnreachable, UnexpectedAnswer):
                silent_since = silent_since or now
                if now - silent_since >= UNREACHABLE_GRACE:
                    raise
                next_poll = now + POLL_ALONE
                continue
            silent_since = None
            match status.state:
                case PromptState.COMPLETED:
                    if not status.outputs:
                        raise ResultMissing("the prompt completed without a picture")
                    return status.outputs
                case PromptState.FAILED | PromptState.CANCELLED:
                    self._raise_failure(status.error)
                case PromptState.UNKNOWN:
                    raise PromptLost("the node does not know the prompt")
                case PromptState.RUNNING:
                    self._note_execution()
                case PromptState.PENDING:
                    if (
                        stalled_since is not None
                        and now - stalled_since >= nodes.STALLED_AFTER.total_seconds()
                    ):
                        raise AttemptTimeout("prompts wait on the node, but it executes none")

    def _raise_failure(self, error: ComfyError | None) -> None:
        if isinstance(error, OutOfMemory):
            with suppress(ComfyError):
                self.client.free()
        raise error or Interrupted("cancelled on the node")

    def _take(self, event: Event) -> None:
        if isinstance(event, Started):
            self._note_execution()
        progress = self.meter.feed(event)
        now = time.monotonic()
        if self.told_progress < progress < 100 and now - self.told_at >= PROGRESS_EVERY:
            self.told_progress, self.told_at = progress, now
            with suppress(OperationalError, InterfaceError):
                self.lease.held().update(progress=progress)

    def _note_execution(self) -> None:
        if self.executing is None:
            self.executing = time.monotonic()
            self._record(executing_at=timezone.now())

    def _collect(self, outputs: tuple[OutputImage, ...]) -> Picture:
        self._note_execution()
        silent_since = time.monotonic()
        while True:
            self._keep_lease(now=True)
            try:
                data = self.client.view(outputs[0], max_bytes=LARGEST_RESULT)
                return strip_result(data, max_bytes=LARGEST_RESULT)
            except ComfyUnreachable:
                # The file stays on the node: asking again is cheaper than computing again.
                if time.monotonic() - silent_since >= UNREACHABLE_GRACE:
                    raise
                _stopping.wait(TICK)
            except (InvalidImage, ImageTooLarge) as error:
                raise ExecutionFailed(f"the result is no picture: {error.message}") from error

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        if self.executing is not None and now - self.executing > settings.COMFYUI_TIMEOUT:
            raise AttemptTimeout(f"executing for more than {settings.COMFYUI_TIMEOUT} s")
        longest_wait = settings.COMFYUI_TIMEOUT * settings.COMFYUI_NODE_DEPTH + PENDING_GRACE
        if self.executing is None and now - self.began > longest_wait:
            raise AttemptTimeout(f"waiting on the node for more than {longest_wait:.0f} s")

    def _keep_lease(self, *, now: bool = False) -> None:
        if _stopping.is_set():
            raise WorkerStopping
        moment = time.monotonic()
        if not now and moment - self.renewed < RENEW_EVERY:
            return
        try:
            scheduler.renew(self.lease, now=timezone.now())
        except (OperationalError, InterfaceError):
            # A database that restarts must not cost an edit. If it stays away, the lease runs out.
            logger.warning("Lease not renewed, the database does not answer")
            close_old_connections()
        self.renewed = moment

    def _record(self, **moments: datetime) -> None:
        for name, value in moments.items():
            setattr(self.attempt, name, value)
        Attempt.objects.filter(pk=self.attempt.pk, status=AttemptStatus.ACTIVE).update(**moments)
