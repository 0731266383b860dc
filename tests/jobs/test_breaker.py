"""The circuit breaker and the history of a node, with real ComfyUI sandboxes."""

import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from jobs import breaker, node_events, nodes, recovery, runner, scheduler
from jobs.comfy import follower
from jobs.comfy.errors import ComfyError, ComfyUnreachable, Interrupted, OutOfMemory
from jobs.models import Attempt, Node, NodeEvent
from jobs.scheduler import Claim, Idle
from jobs.states import AttemptStatus, JobStatus
from qwenedit.users.models import User
from tests.factories import NodeFactory
from tests.jobs.conftest import Submit
from tests.runners import run_next
from tests.servers import SandboxServer, start_sandbox_comfyui
from tests.threads import at_once
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Kind = NodeEvent.Kind


def fail(node: Node, *, times: int = 1, error: ComfyError | None = None) -> None:
    """Note failures of attempts that begin and end now."""
    for _ in range(times):
        breaker.note_failure(node, error or OutOfMemory("no room"), began=timezone.now())
    node.refresh_from_db()


def end_pause() -> None:
    """Let the time of a pause pass."""
    Node.objects.update(tripped_until=timezone.now())


def kinds(node: Node) -> list[str]:
    """Return the history, the oldest first."""
    return list(node.events.order_by("id").values_list("kind", flat=True))


def test_a_node_that_fails_three_times_is_paused_tried_and_trusted_again(
    submit: Submit, run: Callable[[], object], node: Node, sandbox: SandboxServer
) -> None:
    sandbox.control(out_of_memory=3)
    job = submit()
    for _ in range(3):
        assert isinstance(run(), Claim)
    node.refresh_from_db()
    assert node.failures_in_row == 3
    pause = node.tripped_until - node.tripped_at
    assert timedelta(seconds=3.75) <= pause <= timedelta(seconds=5)

    Node.objects.update(tripped_until=timezone.now() + timedelta(minutes=1))
    job = submit()
    assert run() is Idle.NO_HEALTHY_NODE
    end_pause()
    assert isinstance(run(), Claim)

    job.refresh_from_db()
    node.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert (node.failures_in_row, node.tripped_until) == (0, None)
    assert kinds(node) == [Kind.ANSWERS, Kind.TRIPPED, Kind.CLOSED]


def test_a_node_without_its_model_is_paused_at_once_and_another_makes_the_edit(
    submit: Submit, run: Callable[[], object], node: Node, sandbox: SandboxServer
) -> None:
    sandbox.control(missing_models=["qwen_image_vae.safetensors"])
    with start_sandbox_comfyui() as server:
        sound = NodeFactory.create(url=server.url)
        job = submit()
        assert isinstance(run(), Claim)
        job.refresh_from_db()
        assert (job.status, job.attempts.get().error_code) == (JobStatus.QUEUED, "model_missing")
        node.refresh_from_db()
        assert breaker.is_paused(node, node.tripped_at)
        Node.objects.filter(pk=node.pk).update(tripped_until=timezone.now() + timedelta(minutes=1))
        assert isinstance(run(), Claim)

    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert [attempt.node for attempt in job.attempts.order_by("number")] == [node, sound]


def test_a_node_that_executes_nothing_loses_its_work_to_another_and_gets_none(
    submit: Submit,
    run: Callable[[], object],
    node: Node,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follower, "STALL_GRACE", 1.0)
    monkeypatch.setattr(follower, "POLL_BESIDE_EVENTS", 0.2)
    sandbox.control(worker_dead=True)
    with start_sandbox_comfyui() as server:
        sound = NodeFactory.create(url=server.url)
        job = submit()
        run_next()
        node.refresh_from_db()
        assert node.tripped_until is not None
        Node.objects.filter(pk=node.pk).update(tripped_until=timezone.now() + timedelta(minutes=1))
        later = submit()
        assert isinstance(run_next(), Claim)
        assert isinstance(run_next(), Claim)

    assert [attempt.node for attempt in job.attempts.order_by("number")] == [node, sound]
    assert [attempt.node for attempt in later.attempts.all()] == [sound]


def test_each_failed_trial_doubles_the_pause_up_to_two_minutes(node: Node) -> None:
    pauses = []
    for _ in range(10):
        fail(node)
        if node.tripped_until is not None:
            pauses.append((node.tripped_until - node.tripped_at).total_seconds())

    for pause, longest in zip(pauses, [5, 10, 20, 40, 80, 120, 120, 120], strict=True):
        assert 0.75 * longest <= pause <= longest


def test_what_is_not_the_nodes_fault_does_not_count(node: Node) -> None:
    fail(node, times=5, error=Interrupted())

    assert (node.failures_in_row, node.tripped_until) == (0, None)


def test_a_restart_that_fails_all_attempts_at_once_is_one_reason_to_pause(node: Node) -> None:
    began = timezone.now()
    for _ in range(8):
        breaker.note_failure(node, OutOfMemory(), began=began)

    node.refresh_from_db()
    assert node.failures_in_row == 3
    assert kinds(node) == [Kind.TRIPPED]


def test_of_many_workers_one_makes_the_trial(
    submit: Submit, sandbox: SandboxServer, bob: User, settings: object, each_database: str
) -> None:
    settings.COMFYUI_NODE_DEPTH = 4
    node = NodeFactory.create(url=sandbox.url)
    fail(node, times=3)
    end_pause()
    submit(), submit(), submit(user=bob), submit(user=bob)

    outcomes = at_once(*[scheduler.claim_next] * 6)

    assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1, outcomes
    assert outcomes.count(Idle.NODES_FULL) == 5
    assert Attempt.objects.count() == 1


def test_a_node_that_comes_back_from_silence_gets_its_trial_at_once(
    submit: Submit, node: Node, sandbox: SandboxServer
) -> None:
    fail(node, times=3)
    now = timezone.now()
    Node.objects.update(is_healthy=False, checked_at=now, tripped_until=now + timedelta(minutes=2))
    submit()

    recovery.probe_nodes()

    assert isinstance(scheduler.claim_next(), Claim)


def test_a_node_that_answers_but_fails_its_attempts_stays_paused(node: Node) -> None:
    nodes.probe(node)
    for _ in range(3):  # as an attempt does: a proxy that lets no picture through
        nodes.distrust(node, "POST /upload/image: reset")
        fail(node, error=ComfyUnreachable("reset"))

    recovery.probe_nodes()

    node.refresh_from_db()
    assert node.is_healthy
    assert breaker.is_paused(node, timezone.now())


def test_history_has_a_row_only_where_the_state_changed(node: Node, sandbox: SandboxServer) -> None:
    for _ in range(3):
        nodes.probe(node, look_at_queue=True)
    port = sandbox.port
    sandbox.kill()
    for _ in range(3):
        nodes.probe(node, look_at_queue=True)
    sandbox.start(port)
    nodes.probe(node)
    Node.objects.update(version="0.1.0")
    nodes.probe(node)
    nodes.probe(node)

    assert kinds(node) == [Kind.ANSWERS, Kind.SILENT, Kind.ANSWERS, Kind.VERSION]
    assert node.events.get(kind=Kind.SILENT).detail
    assert node.events.get(kind=Kind.VERSION).vram_free is not None


def test_history_is_kept_for_thirty_days(node: Node) -> None:
    node_events.record(node, Kind.ANSWERS)
    node_events.record(node, Kind.SILENT, "x" * 1000)
    node.events.filter(kind=Kind.ANSWERS).update(at=timezone.now() - timedelta(days=31))

    recovery.purge()

    assert [len(event.detail) for event in node.events.all()] == [300]


def test_a_node_that_is_added_gets_work_from_a_process_that_runs(
    submit: Submit, node: Node, settings: object
) -> None:
    settings.COMFYUI_NODE_DEPTH = 1
    submit(), submit()
    assert isinstance(scheduler.claim_next(), Claim)
    assert scheduler.claim_next() is Idle.NODES_FULL

    with start_sandbox_comfyui() as server:
        added = NodeFactory.create(url=server.url)
        claim = scheduler.claim_next()

    assert isinstance(claim, Claim)
    assert claim.attempt.node == added


def test_a_silent_node_is_asked_by_one_process_at_a_time_and_never_before_a_healthy_one(
    submit: Submit, node: Node, settings: object
) -> None:
    settings.COMFYUI_NODE_DEPTH = 1
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        url = f"http://127.0.0.1:{black_hole.getsockname()[1]}"
        silent = NodeFactory.create(url=url, is_healthy=False)
        submit()
        claim = scheduler.claim_next()
        assert isinstance(claim, Claim)
        assert claim.attempt.node == node
        black_hole.setblocking(False)
        with pytest.raises(BlockingIOError):
            black_hole.accept()

        began = time.monotonic()
        answers = at_once(*[lambda: nodes.is_healthy(silent)] * 6)
        took = time.monotonic() - began

        black_hole.accept()[0].close()
        with pytest.raises(BlockingIOError):
            black_hole.accept()
    assert answers == [False] * 6
    assert took < 20, "one question, with slack for a slow machine"


def test_a_node_that_dies_loses_its_work_to_another(
    submit: Submit, node: Node, sandbox: SandboxServer
) -> None:
    with start_sandbox_comfyui("--seconds-per-step", "60") as dying:
        first = NodeFactory.create(url=dying.url)
        Node.objects.filter(pk=node.pk).update(is_draining=True)
        job = submit()
        killed: list[datetime] = []

        def die() -> None:
            attempt = Attempt.objects.filter(node=first, submitted_at__isnull=False)
            wait_until(attempt.exists)
            Node.objects.filter(pk=node.pk).update(is_draining=False)
            dying.kill()
            killed.append(timezone.now())

        outcomes = at_once(runner.run_all, die)

    assert outcomes == [Idle.NOTHING_DUE, None]
    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert [attempt.node for attempt in job.attempts.order_by("number")] == [first, node]
    lost, made = job.attempts.order_by("number")
    assert lost.status == AttemptStatus.FAILED
    assert made.created_at - killed[0] < timedelta(seconds=30)
