"""From a finished edit to the integrator's server, with a real worker; and past its death."""

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.utils import timezone
from rest_framework.test import APIClient

from qwenedit.users.models import User
from tests.factories import EndpointFactory
from tests.flows.processes import ServiceProcess
from tests.flows.test_main_job import submit
from tests.servers import SandboxServer
from tests.waiting import wait_until
from tests.webhooks.receiver import Receiver, run_receiver, verified
from webhooks.models import Delivery
from webhooks.services import job_url_secret

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture
def worker(tmp_path: Path, valkey: redis.Redis) -> Iterator[ServiceProcess]:
    """A worker and its ComfyUI."""
    with (
        SandboxServer("comfyui", "--data-dir", str(tmp_path)) as comfyui,
        ServiceProcess("worker", COMFYUI_URL=comfyui.url) as process,
    ):
        yield process


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An integrator's server."""
    with run_receiver() as server:
        yield server


def test_a_finished_edit_is_told_with_its_result(
    api: APIClient, alice: User, sample_photo: bytes, worker: ServiceProcess, receiver: Receiver
) -> None:
    endpoint = EndpointFactory.create(user=alice, url=receiver.url)
    own = f"{receiver.url}/of-the-edit"

    job = submit(api, sample_photo, webhook_url=own)
    wait_until(lambda: Delivery.objects.filter(status="delivered").count() == 2, timeout=60)

    by_path = {request.path: request for request in receiver.received}
    assert set(by_path) == {"/hook", "/hook/of-the-edit"}
    assert verified(by_path["/hook"], endpoint.secret)
    assert verified(by_path["/hook/of-the-edit"], job_url_secret(user=alice).secret)
    for request in receiver.received:
        assert request.body["type"] == "job.succeeded"
        assert request.body["data"]["id"] == job["id"]
        data = request.body["data"]
        [result] = data["results"]
        assert (result["url"], result["width"]) == (f"/api/v1/jobs/{job['id']}/result/", 1024)
        asked = api.get(f"/api/v1/jobs/{job['id']}/").json()
        result["url"] = f"http://testserver{result['url']}"  # no PUBLIC_URL is set
        assert data == asked


def test_a_worker_killed_while_it_sends_costs_no_news(
    api: APIClient, alice: User, sample_photo: bytes, worker: ServiceProcess, receiver: Receiver
) -> None:
    killed: queue.Queue[bool] = queue.Queue()
    receiver.answers = [lambda _handler: killed.get(timeout=120)]
    EndpointFactory.create(user=alice, url=receiver.url)
    submit(api, sample_photo)
    wait_until(lambda: receiver.received, timeout=60)

    worker.kill()
    killed.put(True)
    Delivery.objects.update(next_attempt_at=timezone.now())  # as if its lease had run out
    worker.start()
    with ServiceProcess("beat"):
        wait_until(lambda: Delivery.objects.filter(status="delivered").exists(), timeout=60)

    first, second = receiver.received
    assert (first.id, first.raw) == (second.id, second.raw)
