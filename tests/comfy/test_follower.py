"""Following a prompt to its end: by events, by the poll, and through everything that can happen to both."""

import os
import signal
import time
from collections.abc import Callable, Collection, Sequence
from uuid import uuid4

import pytest

from jobs.comfy import follower as pace
from jobs.comfy.answers import OutputImage, PromptState
from jobs.comfy.client import ComfyClient
from jobs.comfy.errors import (
    AttemptTimeout,
    ComfyUnreachable,
    ExecutionFailed,
    Interrupted,
    NodeStalled,
    OutOfMemory,
    PromptLost,
)
from jobs.comfy.events import EventStream
from jobs.comfy.follower import Follower
from tests.comfy.edits import DEADLINE, edit, until, wait_for
from tests.servers import SandboxServer

pytestmark = pytest.mark.processes

ENDLESS = 1000
Follow = Callable[..., tuple[OutputImage, ...]]


@pytest.fixture
def prompt_id() -> str:
    return str(uuid4())


@pytest.fixture
def follow(client: ComfyClient, sandbox: SandboxServer, prompt_id: str) -> Follow:
    """Submit an edit and follow it to its end; `between` runs at each step, with the follower."""

    def follow(
        between: Callable[[Follower], None] = lambda follower: None,
        *,
        steps: int | None = None,
        longest_execution: float = 60,
        longest_wait: float = 60,
        overdue: Callable[[Sequence[str]], Collection[str]] = lambda running: (),
    ) -> tuple[OutputImage, ...]:
        client_id = uuid4().hex
        with EventStream(sandbox.url, client_id, prompt_id, connect_timeout=DEADLINE) as events:
            client.submit(edit(client, prompt_id, steps=steps), prompt_id, client_id)
            follower = Follower(
                client,
                events,
                output_node="save",
                sampler_node="sampler",
                longest_execution=longest_execution,
                longest_wait=longest_wait,
                overdue=overdue,
            )
            while (outputs := follower.step()) is None:
                between(follower)
            return outputs

    return follow


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a node that executes nothing a second, and look at it often."""
    monkeypatch.setattr(pace, "STALL_GRACE", 1.0)
    monkeypatch.setattr(pace, "POLL_BESIDE_EVENTS", 0.2)


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything to the events, for longer than an edit takes on a busy machine."""
    monkeypatch.setattr(pace, "POLL_BESIDE_EVENTS", 60.0)


def once(action: Callable[[], object]) -> Callable[[Follower], None]:
    """Return a `between` that acts once, as soon as the prompt executes."""
    done = []

    def between(follower: Follower) -> None:
        if follower.is_executing and not done:
            done.append(action())

    return between


@pytest.mark.usefixtures("no_poll")
def test_events_bring_the_result_without_waiting_for_a_poll(follow: Follow, prompt_id: str) -> None:
    began = time.monotonic()
    progress = []

    (image,) = follow(lambda follower: progress.append(follower.progress))

    assert image.subfolder == f"qwenedit/{prompt_id}"
    assert time.monotonic() - began < pace.POLL_BESIDE_EVENTS
    assert progress == sorted(progress)
    assert progress[-1] >= 95


def test_without_a_websocket_the_poll_brings_the_result(follow: Follow, sandbox: SandboxServer) -> None:
    sandbox.control(refuse_websockets=60)

    assert len(follow()) == 1


def test_a_websocket_that_breaks_is_made_good_by_the_poll(follow: Follow, sandbox: SandboxServer) -> None:
    sandbox.control(cut_websockets=1, seconds_per_step=0.1)

    assert len(follow()) == 1


def test_a_history_that_lags_behind_the_last_event_is_asked_again(
    follow: Follow, sandbox: SandboxServer
) -> None:
    sandbox.control(history_delay=0.3, refuse_websockets=60)

    assert len(follow()) == 1


def test_out_of_memory_frees_the_nodes_memory(
    follow: Follow, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = []
    # The stand-in has no memory to look at: what counts is that the node is asked.
    monkeypatch.setattr(ComfyClient, "free", lambda self: freed.append(self.url))
    sandbox.control(out_of_memory=1)

    with pytest.raises(OutOfMemory):
        follow()

    assert freed == [sandbox.url]


@pytest.mark.usefixtures("no_poll")
def test_a_node_that_raises_ends_the_attempt_at_once(follow: Follow, sandbox: SandboxServer) -> None:
    sandbox.control(runtime_error=1)
    began = time.monotonic()

    with pytest.raises(ExecutionFailed):
        follow()

    assert time.monotonic() - began < pace.POLL_BESIDE_EVENTS


def test_somebody_who_interrupts_on_the_node_is_noticed(
    follow: Follow, client: ComfyClient, sandbox: SandboxServer, prompt_id: str
) -> None:
    sandbox.control(seconds_per_step=0.1)

    with pytest.raises(Interrupted):
        follow(once(lambda: client.cancel(prompt_id)), steps=ENDLESS)


def test_a_restart_is_noticed_as_a_lost_prompt(follow: Follow, sandbox: SandboxServer) -> None:
    sandbox.control(seconds_per_step=0.1)

    with pytest.raises(PromptLost):
        follow(once(lambda: sandbox.control(restart=True)), steps=ENDLESS)


def test_a_node_may_be_silent_for_a_while_but_not_for_ever(
    follow: Follow, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SILENCE_GRACE", 2.0)
    sandbox.control(seconds_per_step=0.1)
    began = time.monotonic()

    try:
        with pytest.raises(ComfyUnreachable):
            follow(once(sandbox.kill), steps=ENDLESS)
    finally:
        sandbox.start(sandbox.port)

    assert time.monotonic() - began >= 2.0


def test_the_time_that_a_frozen_node_keeps_a_question_waiting_counts_as_silence(
    follow: Follow, client: ComfyClient, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SILENCE_GRACE", 2.0)  # less than the longest question
    sandbox.control(seconds_per_step=0.1)
    unanswered = []
    status = client.status

    def counted(*args: object, **options: object) -> object:
        try:
            return status(*args, **options)
        except ComfyUnreachable as error:
            unanswered.append(error)
            raise

    monkeypatch.setattr(client, "status", counted)

    try:
        with pytest.raises(ComfyUnreachable):
            follow(once(lambda: os.kill(sandbox.pid, signal.SIGSTOP)), steps=ENDLESS)
    finally:
        os.kill(sandbox.pid, signal.SIGCONT)

    assert len(unanswered) == 1


def test_an_execution_that_takes_too_long_is_given_up(follow: Follow, sandbox: SandboxServer) -> None:
    sandbox.control(hang=True)

    with pytest.raises(AttemptTimeout, match="executing for more than"):
        follow(longest_execution=1)


def test_a_prompt_that_waits_too_long_behind_others_is_given_up(
    follow: Follow, client: ComfyClient, sandbox: SandboxServer
) -> None:
    sandbox.control(seconds_per_step=0.1)
    other = str(uuid4())
    client.submit(edit(client, other, steps=ENDLESS), other, "somebody")
    wait_for(client, other, PromptState.RUNNING)

    with pytest.raises(AttemptTimeout, match="waiting on the node"):
        follow(longest_wait=1)


@pytest.mark.usefixtures("impatient")
def test_a_node_that_executes_nothing_is_found_out(
    follow: Follow, client: ComfyClient, sandbox: SandboxServer
) -> None:
    sandbox.control(worker_dead=True)
    for _ in range(2):
        other = str(uuid4())
        client.submit(edit(client, other), other, "somebody")
    until(lambda: client.queue().is_stalled(), "the queue to stand still")

    with pytest.raises(NodeStalled, match="executes none"):
        follow()


@pytest.mark.usefixtures("impatient")
def test_a_node_whose_running_prompt_never_ends_executes_nothing(
    follow: Follow, client: ComfyClient, sandbox: SandboxServer
) -> None:
    sandbox.control(hang=True)
    stuck = str(uuid4())
    client.submit(edit(client, stuck), stuck, "somebody")
    wait_for(client, stuck, PromptState.RUNNING)

    with pytest.raises(AttemptTimeout, match="waiting on the node"):
        follow(longest_wait=2)  # as long as it may still end
    with pytest.raises(NodeStalled, match="executes none"):
        follow(overdue=lambda running: {stuck}.intersection(running))
