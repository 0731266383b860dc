"""Nodes that come, are drained and disabled in the admin, beside a worker that is never restarted."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis
from django.test import Client
from django.urls import reverse

from jobs import recovery
from jobs.models import Attempt, Job, Node
from jobs.services import submit_job
from jobs.states import JobStatus
from jobs.wishes import Wish
from tests.factories import UserFactory
from tests.flows.processes import ServiceProcess
from tests.servers import SandboxServer, start_sandbox_comfyui
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes, pytest.mark.timeout(120)]


@pytest.fixture
def servers() -> Iterator[tuple[SandboxServer, SandboxServer]]:
    """Two ComfyUIs: one that COMFYUI_URL names, and one to be added."""
    with ExitStack() as stack:
        named, other = (stack.enter_context(start_sandbox_comfyui()) for _ in range(2))
        yield named, other


@pytest.fixture
def worker(servers: tuple[SandboxServer, SandboxServer], valkey: redis.Redis) -> Iterator[ServiceProcess]:
    """A worker that gives each node one edit at a time."""
    with ServiceProcess("worker", COMFYUI_URL=servers[0].url, COMFYUI_NODE_DEPTH="1") as process:
        yield process


@pytest.fixture
def submit(sample_photo: bytes) -> Callable[[], Job]:
    """Submit the photo of somebody new."""

    def submit() -> Job:
        wish = Wish.parse(prompt="make it a pencil sketch")
        return submit_job(user=UserFactory.create(), wish=wish, images=[sample_photo]).job

    return submit


@pytest.fixture
def boss() -> Client:
    """The browser of a superuser."""
    client = Client()
    client.force_login(UserFactory.create(is_staff=True, is_superuser=True))
    return client


def add(boss: Client, server: SandboxServer) -> Node:
    """Add a node in the admin."""
    data = {"name": "added", "address": server.url, "user": "", "password": "", "is_enabled": "on"}
    assert boss.post(reverse("admin:jobs_node_add"), data).status_code == 302
    return Node.objects.get(name="added")


def press(boss: Client, action: str, node: Node) -> None:
    """Choose an action for the node in the list of the admin."""
    data = {"action": action, "_selected_action": [node.pk]}
    assert boss.post(reverse("admin:jobs_node_changelist"), data).status_code == 302


def is_on(node: Node, job: Job) -> bool:
    """Whether the node has accepted the job and holds it."""
    return Attempt.objects.filter(job=job, node=node, submitted_at__isnull=False, finished_at=None).exists()


def made_by(job: Job) -> list[Node]:
    """Wait until a job has succeeded; return the nodes on which it was tried."""
    wait_until(lambda: Job.objects.get(pk=job.pk).status == JobStatus.SUCCEEDED)
    return [attempt.node for attempt in job.attempts.select_related("node").order_by("number")]


def test_a_node_is_added_drained_and_disabled_while_the_worker_runs(
    servers: tuple[SandboxServer, SandboxServer],
    worker: ServiceProcess,
    submit: Callable[[], Job],
    boss: Client,
) -> None:
    named, other = servers
    first = Node.objects.get()
    named.control(hang=True)
    held = submit()
    wait_until(lambda: is_on(first, held))  # from now on, the first node has no room

    added = add(boss, other)
    assert made_by(submit()) == [added]
    press(boss, "drain", first)

    for leave, come_back in (("drain", "end_draining"), ("disable", "enable")):
        other.control(hang=True)
        begun = submit()
        wait_until(lambda begun=begun: is_on(added, begun))
        press(boss, leave, added)
        other.control(hang=False)
        assert made_by(begun) == [added], "it finishes what it has"

        refused = submit()
        wait_until(lambda refused=refused: Job.objects.get(pk=refused.pk).waiting_for_gpu)
        assert not refused.attempts.exists(), "and gets no more, though it is idle and answers"

        press(boss, come_back, added)
        recovery.sweep()  # as the beat does every five seconds
        assert made_by(refused) == [added]

    named.control(hang=False)
    assert made_by(held) == [first]
    assert Attempt.objects.filter(node=first).count() == 1
