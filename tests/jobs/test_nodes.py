"""The fleet: which nodes there are, which answer, and what they said of themselves."""

from datetime import timedelta
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from jobs import nodes
from jobs.comfy.answers import QueueState
from jobs.comfy.client import ComfyClient
from jobs.models import Node
from jobs.states import AttemptStatus
from tests.comfy.edits import edit
from tests.factories import AttemptFactory, NodeFactory
from tests.servers import SandboxServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


def test_a_probe_records_what_the_node_says(node: Node) -> None:
    assert nodes.probe(node, look_at_queue=True)

    node.refresh_from_db()
    assert node.is_healthy
    assert node.version
    assert node.device
    assert node.queue_length == 0
    assert node.problem == ""


def test_a_silent_node_is_unhealthy_and_says_why() -> None:
    node = NodeFactory.create(url="http://127.0.0.1:1")

    assert not nodes.is_healthy(node)

    node.refresh_from_db()
    assert node.is_healthy is False
    assert node.problem


def test_the_gate_remembers_an_answer_but_not_for_long(
    node: Node, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nodes.HEALTHY_FOR == 5
    monkeypatch.setattr(nodes, "HEALTHY_FOR", 600)
    assert nodes.is_healthy(node)
    sandbox.kill()

    assert nodes.is_healthy(node), "the answer of a moment ago still counts"
    with redis.Redis.from_url(settings.CACHE_URL) as client:
        assert 300 < client.ttl(cache.make_key(f"node:{node.pk}:healthy")) <= 600
    nodes.distrust(node, "reset")
    assert not nodes.is_healthy(node)


def test_a_node_that_went_silent_under_an_attempt_gets_no_work_before_it_has_answered(node: Node) -> None:
    assert nodes.is_healthy(node)

    nodes.distrust(node, "GET /view: reset")

    node.refresh_from_db()
    assert (node.is_healthy, node.problem) == (False, "GET /view: reset")
    assert not nodes.is_healthy(node)
    assert nodes.probe(node), "one good answer is enough"
    assert nodes.is_healthy(node)


def test_what_a_process_remembers_does_not_count_once_another_has_found_the_node_silent(
    node: Node, sandbox: SandboxServer
) -> None:
    assert nodes.is_healthy(node)
    sandbox.kill()
    Node.objects.update(is_healthy=False)
    cache.delete(f"node:{node.pk}:healthy")

    node.refresh_from_db()

    assert not nodes.is_healthy(node)


def test_what_a_probe_finds_replaces_what_all_processes_remember(node: Node, sandbox: SandboxServer) -> None:
    assert nodes.is_healthy(node)
    sandbox.kill()

    assert not nodes.probe(node, look_at_queue=True)

    nodes.forget_all()  # as in another process, with a row that it has read before
    assert not nodes.is_healthy(node)


def test_a_node_that_answers_but_executes_nothing_is_unhealthy(
    node: Node, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.control(worker_dead=True)
    ComfyClient(sandbox.url).submit(_graph(), "00000000-0000-4000-8000-000000000001", "client")

    assert nodes.probe(node, look_at_queue=True), "a moment without execution is no failure"
    node.refresh_from_db()
    assert node.stalled_since is not None
    Node.objects.update(stalled_since=timezone.now() - timedelta(minutes=1))
    node.refresh_from_db()
    assert not nodes.probe(node, look_at_queue=True)
    node.refresh_from_db()
    assert "executes nothing" in node.problem
    assert not nodes.is_healthy(node)

    sandbox.control(restart=True, reset=True)
    assert nodes.probe(node, look_at_queue=True)


@pytest.mark.parametrize(
    ("status", "began_ago", "is_overdue"),
    [
        (AttemptStatus.FAILED, 361, True),
        (AttemptStatus.CANCELLED, 361, True),
        (AttemptStatus.FAILED, 330, False),  # deaf while its model loads
        (AttemptStatus.ACTIVE, 361, False),  # its runner will see to it
    ],
)
def test_a_prompt_that_runs_on_long_after_its_attempt_is_overdue(
    node: Node, status: AttemptStatus, began_ago: int, is_overdue: bool
) -> None:
    began = timezone.now() - timedelta(seconds=began_ago)
    attempt = AttemptFactory.create(node=node, status=status, created_at=began, executing_at=began)
    running = ["somebody else's", str(uuid4()), str(attempt.pk)]

    assert nodes.overdue(running) == ({str(attempt.pk)} if is_overdue else set())


def test_a_node_whose_thread_died_within_a_prompt_is_unhealthy(node: Node, sandbox: SandboxServer) -> None:
    began = timezone.now() - timedelta(minutes=7)
    stuck = AttemptFactory.create(node=node, status=AttemptStatus.FAILED, created_at=began)
    sandbox.control(hang=True)
    client = ComfyClient(sandbox.url)
    client.submit(_graph(), str(stuck.pk), "client")
    wait_until(lambda: client.queue().running == [str(stuck.pk)])

    nodes.probe(node, look_at_queue=True)

    node.refresh_from_db()
    assert node.stalled_since is not None


@pytest.mark.parametrize("is_running", [True, False])
def test_a_probe_takes_off_the_node_what_nobody_waits_for(
    node: Node, sandbox: SandboxServer, is_running: bool
) -> None:
    long_ago = timezone.now() - timedelta(hours=1)  # a machine that slept
    ended = AttemptFactory.create(node=node, status=AttemptStatus.FAILED, executing_at=long_ago)
    followed = AttemptFactory.create(node=node, status=AttemptStatus.ACTIVE)
    sandbox.control(seconds_per_step=1)
    client = ComfyClient(sandbox.url)
    first, second = (str(one.pk) for one in ((ended, followed) if is_running else (followed, ended)))
    client.submit(edit(client, first, lightning=False), first, "client")
    client.submit(edit(client, second, lightning=False), second, "client")
    wait_until(lambda: client.queue().running == [first])

    assert nodes.probe(node, look_at_queue=True)

    wait_until(lambda: client.queue() == QueueState(running=[str(followed.pk)], pending=[]))


def test_what_waits_on_a_node_that_executes_nothing_is_left_there_as_its_sign(
    node: Node, sandbox: SandboxServer
) -> None:
    ended = AttemptFactory.create(node=node, status=AttemptStatus.FAILED)
    sandbox.control(worker_dead=True)
    client = ComfyClient(sandbox.url)
    client.submit(_graph(), str(ended.pk), "client")

    nodes.probe(node, look_at_queue=True)

    assert client.queue().pending == [str(ended.pk)]


def test_the_gate_does_not_overwrite_what_the_last_look_at_the_queue_found(node: Node) -> None:
    since = timezone.now() - timedelta(seconds=10)
    Node.objects.update(stalled_since=since, queue_length=3)  # after `node` was read

    assert nodes.probe(node)

    node.refresh_from_db()
    assert (node.stalled_since, node.queue_length) == (since, 3)


def test_rows_follow_the_environment() -> None:
    by_hand = NodeFactory.create(url="http://by-hand:8188", from_environment=False)

    nodes.sync_nodes(["http://a:8188", "http://user:secret@b:8188"])
    nodes.sync_nodes(["http://user:secret@b:8188", "http://c:8188"])

    enabled = dict(Node.objects.values_list("url", "is_enabled"))
    assert enabled == {
        by_hand.url: True,
        "http://a:8188": False,
        "http://user:secret@b:8188": True,
        "http://c:8188": True,
    }
    assert Node.objects.get(url="http://user:secret@b:8188").name == "b:8188"


def test_a_node_that_comes_back_to_the_environment_is_enabled_again() -> None:
    nodes.sync_nodes(["http://a:8188"])
    nodes.sync_nodes([])
    nodes.sync_nodes(["http://a:8188"])

    assert Node.objects.get().is_enabled


def test_a_node_that_staff_disabled_stays_so() -> None:
    nodes.sync_nodes(["http://a:8188"])
    Node.objects.update(is_enabled=False)

    nodes.sync_nodes(["http://a:8188"])

    assert not Node.objects.get().is_enabled


def test_credentials_are_shown_nowhere() -> None:
    node = NodeFactory.create(url="http://user:secret@gpu.example:8188/comfy")

    assert node.shown_url == "http://gpu.example:8188/comfy"


def _graph() -> dict[str, object]:
    return {
        "empty": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        },
        "save": {"class_type": "PreviewImage", "inputs": {"images": ["empty", 0]}},
    }
