"""The steps of one attempt: upload, submit, follow, collect. Settles nothing.

A runner that was too slow finds that the job is no longer its own, and walks away. No transaction is open
while a node is talked to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePath

import structlog
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone

from jobs import news, nodes, pictures, scheduler
from jobs.comfy.answers import OutputImage
from jobs.comfy.errors import ComfyUnreachable, ExecutionFailed
from jobs.comfy.events import EventStream
from jobs.comfy.follower import PENDING_GRACE, POLL_ALONE, SILENCE_GRACE, Follower
from jobs.comfy.workflow import ModelFiles, Workflow, WorkflowInputs
from jobs.leases import LeaseKeeper
from jobs.models import Attempt
from jobs.scheduler import Claim
from jobs.states import AttemptStatus
from qwenedit.lib.images import ImageTooLarge, InvalidImage, Picture, strip_result

logger = structlog.get_logger(__name__)

PROGRESS_EVERY = 0.1  # seconds: every step of the sampler is told, unless they come faster
RECORD_AFTER = 0.5  # seconds: an attempt that is over sooner is recorded once, when it is settled
LARGEST_RESULT = 64 * 1024 * 1024
LONGEST_TRANSFERS = 600.0  # seconds for all pictures of an attempt, to the node and back
MOST_ADOPTIONS = 10

stopping = threading.Event()


class WorkerStopping(Exception):
    """The worker was asked to stop: leave the attempt to whoever adopts it."""


class TooManyAdoptions(Exception):
    """So many runners died or stopped with the attempt that it may be what they die of."""


@worker_shutting_down.connect
def _stop_attempts(**_signal: object) -> None:
    stopping.set()


def longest_wait() -> float:
    """Return the seconds that a prompt may wait on its node behind others."""
    return settings.COMFYUI_TIMEOUT * settings.COMFYUI_NODE_DEPTH + PENDING_GRACE


def longest_attempt() -> float:
    """Return the seconds after which an attempt has ended, however it goes."""
    return longest_wait() + settings.COMFYUI_TIMEOUT + LONGEST_TRANSFERS


class AttemptRun:
    """One attempt under a claim whose lease `keeper` keeps. `perform` returns the result, or raises."""

    def __init__(self, claim: Claim, keeper: LeaseKeeper) -> None:
        self.job = claim.job
        self.attempt = claim.attempt
        self.lease = claim.lease
        self.adopted = claim.adopted
        self.inputs = claim.inputs
        self.client = nodes.client_of(claim.attempt.node)
        self.workflow = Workflow.load(settings.COMFYUI_WORKFLOW)
        self.prompt_id = str(claim.attempt.pk)
        self.keeper = keeper
        self.told_progress = 0
        self.began = self.told_at = time.monotonic()
        self.is_recorded = True

    def perform(self, events: EventStream) -> Picture:
        """Upload, submit, follow by `events` and collect.

        Raises ComfyError, StaleState, WorkerStopping or TooManyAdoptions.
        """
        if self.attempt.adoptions > MOST_ADOPTIONS:
            raise TooManyAdoptions(f"{MOST_ADOPTIONS + 1} runners died or stopped with it")
        if not self.adopted:
            self.submit()
        outputs = self._follow(events)
        if self.adopted or not events.has_told_success:
            # Not to be kept: whoever posted the prompt may listen by the same id, or the stream is lost.
            events.close()
        return self._collect(outputs)

    def submit(self) -> None:
        """Upload the pictures and post the prompt, once, under the attempt's id."""
        references = []
        for image in self.inputs:
            self._check()
            # Named by content: sent again, the same picture makes no second file on the node, and no
            # late writer can put one user's picture under another's name.
            name = f"{image.sha256[:40]}{PurePath(str(image.file)).suffix}"
            references.append(self.client.upload_image(pictures.read(image), name, subfolder="qwenedit"))
        width, height = self.workflow.model_size(self.inputs[0].width, self.inputs[0].height)
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
        self.keeper.confirm()  # a prompt posted for a lost attempt would run for nobody
        self._check()
        try:
            self.client.submit(
                graph, self.prompt_id, self.attempt.listens_as.hex, output_node=self.workflow.output_node
            )
        except ComfyUnreachable as error:
            # It may have arrived. Never post it again: the poll will tell.
            logger.warning("Outcome of the submission is unknown", reason=error.detail)
        self.attempt.submitted_at = timezone.now()
        self.is_recorded = False

    def _follow(self, events: EventStream) -> tuple[OutputImage, ...]:
        follower = Follower(
            self.client,
            events,
            output_node=self.workflow.output_node,
            sampler_node=self.workflow.sampler_node,
            longest_execution=settings.COMFYUI_TIMEOUT,
            longest_wait=longest_wait(),
            overdue=_overdue,
            poll_now=self.adopted,
        )
        outputs = None
        while outputs is None:
            self._check()
            outputs = follower.step()
            if self.attempt.executing_at is None and (follower.is_executing or outputs):
                self.attempt.executing_at = timezone.now()
                self.is_recorded = False
            self._record()
            self._tell_progress(follower.progress)
        return outputs

    def _collect(self, outputs: tuple[OutputImage, ...]) -> Picture:
        # Also replaces a connection that died while the node worked, before the result needs it: asked by
        # this thread, whatever the keeper has learned by its own.
        if time.monotonic() - self.began >= RECORD_AFTER:
            with _dispensable():
                scheduler.renew(self.lease, now=timezone.now())
        asked_since = time.monotonic()
        while True:
            self._check()
            try:
                data = self.client.view(outputs[0], max_bytes=LARGEST_RESULT)
                return strip_result(data, max_bytes=LARGEST_RESULT)
            except ComfyUnreachable:
                # The file stays on the node: asking again is cheaper than computing again.
                if time.monotonic() - asked_since >= SILENCE_GRACE:
                    raise
                stopping.wait(POLL_ALONE)
            except (InvalidImage, ImageTooLarge) as error:
                raise ExecutionFailed(f"the result is no picture: {error.message}") from error

    def _check(self) -> None:
        if stopping.is_set():
            raise WorkerStopping
        self.keeper.check()

    def _tell_progress(self, progress: int) -> None:
        now = time.monotonic()
        if self.told_progress < progress < 100 and now - self.told_at >= PROGRESS_EVERY:
            self.told_progress, self.told_at = progress, now
            with _dispensable():
                self.lease.held().update(progress=progress)
                news.tell(self.job.pk)

    def _record(self) -> None:
        if self.is_recorded or time.monotonic() - self.began < RECORD_AFTER:
            return
        with _dispensable():
            Attempt.objects.filter(pk=self.attempt.pk, status=AttemptStatus.ACTIVE).update(
                submitted_at=self.attempt.submitted_at, executing_at=self.attempt.executing_at
            )
            self.is_recorded = True


def _overdue(running: Sequence[str]) -> set[str]:
    found: set[str] = set()
    with _dispensable():
        found |= nodes.overdue(running)
    return found


@contextmanager
def _dispensable() -> Iterator[None]:
    """Go on without what the block does where the database does not answer; the next one reconnects."""
    try:
        yield
    except (OperationalError, InterfaceError):
        logger.warning("The database does not answer, the attempt goes on without it")
        close_old_connections()
