"""Learns how one prompt ends: from its events first, from a poll for certain.

Owns the pace of polling, the patience with a silent node, and the time an attempt may take. Knows
nothing of jobs: whoever calls `step` keeps the lease between two of them.
"""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import NoReturn

from jobs.comfy import events as news
from jobs.comfy.answers import OutputImage, PromptState, PromptStatus
from jobs.comfy.client import ComfyClient
from jobs.comfy.errors import (
    AttemptTimeout,
    ComfyError,
    ComfyUnreachable,
    Interrupted,
    NodeStalled,
    OutOfMemory,
    PromptLost,
    ResultMissing,
    UnexpectedAnswer,
)
from jobs.comfy.events import EventStream, ProgressMeter

# Seconds.
TICK = 1.0
POLL_BESIDE_EVENTS = 3.0
POLL_ALONE = 1.0
POLL_AT_THE_END = 0.05  # the history can lag behind the last event by a moment
SILENCE_GRACE = 15.0  # a node may be silent for this long before its attempt is given up
STALL_GRACE = 15.0  # prompts may wait for this long while none runs
PENDING_GRACE = 60.0  # beyond the time that the attempts ahead may take


class Follower:
    """Follows one submitted prompt, step by step.

    `longest_execution` bounds the time from the start of execution, `longest_wait` the time before it,
    both in seconds. `overdue` returns which of the prompts that the node says it runs should have ended long
    ago. `poll_now` asks the node at once: for a prompt that somebody else submitted.
    """

    def __init__(
        self,
        client: ComfyClient,
        events: EventStream,
        *,
        output_node: str,
        sampler_node: str,
        longest_execution: float,
        longest_wait: float,
        overdue: Callable[[Sequence[str]], Collection[str]] = lambda running: (),
        poll_now: bool = False,
    ) -> None:
        self._client = client
        self._events = events
        self._output_node = output_node
        self._longest_execution = longest_execution
        self._longest_wait = longest_wait
        self._overdue = overdue
        self._meter = ProgressMeter(sampler_node)
        self._began = time.monotonic()
        self._executing_since: float | None = None
        self._next_poll = self._began + (0 if poll_now else POLL_BESIDE_EVENTS)
        self._written: tuple[OutputImage, ...] = ()
        self._ending = False
        self._silent_since: float | None = None
        self._stalled_since: float | None = None

    @property
    def is_executing(self) -> bool:
        """Whether the node has begun with the prompt, as far as we know."""
        return self._executing_since is not None

    @property
    def progress(self) -> int:
        """Percentage done."""
        return self._meter.percent

    def step(self) -> tuple[OutputImage, ...] | None:
        """Wait for news, for a second at most; return the pictures once the prompt has completed.

        Raises the ComfyError it ended with; ComfyUnreachable after SILENCE_GRACE, AttemptTimeout.
        """
        self._check_time()
        wait = max(0.0, min(TICK, self._next_poll - time.monotonic()))
        event = self._events.next(timeout=wait)
        if event is not None:
            self._meter.feed(event)
        match event:
            case news.Started():
                self._note_execution()
            case news.Executed(node=node, images=images) if node == self._output_node:
                self._written = images
            case news.Success() if self._written:
                return self._written
            case news.Failed(error=error):
                self._fail(error)
            case news.Success() | news.Interrupted():
                self._ending = True
                self._next_poll = time.monotonic()
            case news.Disconnected():
                self._events.reconnect()
                self._next_poll = time.monotonic()
        if time.monotonic() < self._next_poll:
            return None
        return self._poll()

    def _poll(self) -> tuple[OutputImage, ...] | None:
        now = time.monotonic()
        self._next_poll = now + self._interval()
        try:
            status = self._client.status(self._events.prompt_id, output_node=self._output_node)
            stalled = status.state is PromptState.PENDING and self._executes_nothing()
        except (ComfyUnreachable, UnexpectedAnswer):
            self._silent_since = self._silent_since or now
            now = time.monotonic()  # a frozen node has kept the question waiting
            if now - self._silent_since >= SILENCE_GRACE:
                raise
            self._next_poll = now + POLL_ALONE
            return None
        self._silent_since = None
        self._stalled_since = (self._stalled_since or now) if stalled else None
        if self._stalled_since is not None and now - self._stalled_since >= STALL_GRACE:
            raise NodeStalled("prompts wait on the node, but it executes none")
        return self._read(status)

    def _executes_nothing(self) -> bool:
        queue = self._client.queue()
        return queue.is_stalled(overdue=self._overdue(queue.running))

    def _read(self, status: PromptStatus) -> tuple[OutputImage, ...] | None:
        match status.state:
            case PromptState.COMPLETED:
                if not status.outputs:
                    raise ResultMissing("the prompt completed without a picture")
                return status.outputs
            case PromptState.FAILED | PromptState.CANCELLED:
                self._fail(status.error or Interrupted("cancelled on the node"))
            case PromptState.UNKNOWN:
                raise PromptLost("the node does not know the prompt")
            case PromptState.RUNNING:
                self._note_execution()
        return None

    def _interval(self) -> float:
        if self._ending:
            return POLL_AT_THE_END
        return POLL_BESIDE_EVENTS if self._events.is_connected else POLL_ALONE

    def _fail(self, error: ComfyError) -> NoReturn:
        if isinstance(error, OutOfMemory):
            with suppress(ComfyError):
                self._client.free()
        raise error

    def _note_execution(self) -> None:
        if self._executing_since is None:
            self._executing_since = time.monotonic()

    def _check_time(self) -> None:
        now = time.monotonic()
        if self._executing_since is None:
            if now - self._began > self._longest_wait:
                raise AttemptTimeout(f"waiting on the node for more than {self._longest_wait:.0f} s")
        elif now - self._executing_since > self._longest_execution:
            raise AttemptTimeout(f"executing for more than {self._longest_execution:.0f} s")
