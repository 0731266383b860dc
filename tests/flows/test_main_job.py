"""The main job with the processes of production, and each of them killed in the middle of it."""

import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.core.management import call_command
from PIL import Image
from rest_framework.test import APIClient

from botapp.wakeups import wake_outbox
from jobs.models import Attempt, Job
from jobs.states import JobStatus
from payments.models import LedgerEntry
from qwenedit import embedded
from tests.flows.processes import ServiceProcess
from tests.servers import SandboxServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes, pytest.mark.timeout(300)]

PROMISE = 60  # seconds within which anything that was killed is made good


@pytest.fixture
def comfyui(tmp_path: Path) -> Iterator[SandboxServer]:
    """A ComfyUI that takes four seconds for an edit; told to hang, it stands still in the middle of one."""
    with SandboxServer("comfyui", "--seconds-per-step", "1", "--data-dir", str(tmp_path)) as server:
        yield server


@pytest.fixture
def worker(comfyui: SandboxServer, valkey: redis.Redis) -> Iterator[ServiceProcess]:
    """A worker that makes the node's row itself, as it does at every start."""
    with ServiceProcess("worker", COMFYUI_URL=comfyui.url) as process:
        yield process


def submit(api: APIClient, photo: bytes, **fields: str) -> dict[str, object]:
    """Submit an edit over the REST API and return the answer."""
    file = io.BytesIO(photo)
    file.name = "photo.png"
    answer = api.post(
        "/api/v1/jobs/", {"image": file, "prompt": "make it a pencil sketch", **fields}, format="multipart"
    )
    assert answer.status_code == 201, answer.content
    return answer.json()


def finished(job_id: object) -> bool:
    """Whether a job has succeeded; one that failed ends the wait at once."""
    job = Job.objects.get(pk=job_id)
    assert job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}, job.error_message
    return job.status == JobStatus.SUCCEEDED


def executing() -> bool:
    """Whether a node is in the middle of an attempt."""
    return Job.objects.filter(status=JobStatus.RUNNING, progress__gte=5).exists()


def assert_done_once(api: APIClient, job_id: object) -> None:
    """A job that succeeded has one result, one charge, no refund; and the whole database agrees."""
    answer = api.get(f"/api/v1/jobs/{job_id}/result/")
    picture = Image.open(io.BytesIO(b"".join(iter(answer))))
    assert picture.size == (1024, 1024)
    causes = LedgerEntry.objects.filter(key__startswith=f"job:{job_id}:").values_list("key", flat=True)
    assert list(causes) == [f"job:{job_id}:charge"]
    call_command("audit")


def test_a_photo_goes_in_and_the_edited_picture_comes_out(
    api: APIClient, sample_photo: bytes, worker: ServiceProcess
) -> None:
    job = submit(api, sample_photo)

    wait_until(lambda: finished(job["id"]))

    assert_done_once(api, job["id"])


def test_one_request_id_runs_from_the_request_to_the_last_line_about_the_job(
    api: APIClient, sample_photo: bytes, comfyui: SandboxServer, valkey: redis.Redis
) -> None:
    with ServiceProcess("worker", COMFYUI_URL=comfyui.url, LOG_FORMAT="json") as worker:
        job = submit(api, sample_photo)
        wait_until(lambda: finished(job["id"]))
        wait_until(lambda: '"Job succeeded"' in worker.output)

        lines = [json.loads(line) for line in worker.output.splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line["event"] == "Job succeeded"]
    assert line["request_id"]
    assert line["request_id"] == Job.objects.get(pk=job["id"]).request_id


def test_a_worker_killed_in_the_middle_of_an_edit_costs_nobody_anything(
    api: APIClient, sample_photo: bytes, worker: ServiceProcess, beat: ServiceProcess, comfyui: SandboxServer
) -> None:
    comfyui.control(hang=True)
    job = submit(api, sample_photo)
    wait_until(executing)

    worker.kill()
    comfyui.control(hang=False)
    worker.start()
    wait_until(lambda: finished(job["id"]), timeout=PROMISE)

    assert Attempt.objects.count() == 1, "the prompt on the node was adopted, not run again"
    assert_done_once(api, job["id"])


def test_a_worker_that_is_stopped_hands_its_edit_on(
    api: APIClient, sample_photo: bytes, worker: ServiceProcess, beat: ServiceProcess, comfyui: SandboxServer
) -> None:
    comfyui.control(hang=True)
    job = submit(api, sample_photo)
    wait_until(executing)

    worker.stop()
    comfyui.control(hang=False)
    worker.start()
    wait_until(lambda: finished(job["id"]), timeout=PROMISE)

    assert Attempt.objects.count() == 1
    assert_done_once(api, job["id"])


def test_comfyui_killed_in_the_middle_of_an_edit_costs_nobody_anything(
    api: APIClient, sample_photo: bytes, worker: ServiceProcess, beat: ServiceProcess, comfyui: SandboxServer
) -> None:
    comfyui.control(hang=True)
    job = submit(api, sample_photo)
    wait_until(executing)

    comfyui.kill()
    comfyui.restart()
    wait_until(lambda: finished(job["id"]), timeout=PROMISE)

    assert [attempt.status for attempt in Attempt.objects.all()] == ["failed", "succeeded"]
    assert_done_once(api, job["id"])


def test_while_comfyui_is_away_the_job_waits_and_runs_within_ten_seconds_of_its_return(
    api: APIClient, sample_photo: bytes, worker: ServiceProcess, beat: ServiceProcess, comfyui: SandboxServer
) -> None:
    def seconds_after_return() -> float:
        comfyui.kill()
        job = submit(api, sample_photo)
        wait_until(lambda: Job.objects.get(pk=job["id"]).waiting_for_gpu)
        line = f"ComfyUI health check failed for job {job['id']}, returning to queue"
        wait_until(lambda: worker.output.count(line) >= 3)
        assert not Attempt.objects.filter(job=job["id"]).exists()

        comfyui.restart()
        returned = time.monotonic()
        wait_until(lambda: Attempt.objects.filter(job=job["id"], submitted_at__isnull=False).exists())
        seconds = time.monotonic() - returned

        wait_until(lambda: finished(job["id"]))
        assert Attempt.objects.filter(job=job["id"]).count() == 1
        assert_done_once(api, job["id"])
        return seconds

    # A machine that stands still for a moment may make one of them late.
    assert any(seconds_after_return() < 10 for _ in range(3))


def test_an_emptied_broker_loses_no_job(
    api: APIClient, sample_photo: bytes, worker: ServiceProcess, beat: ServiceProcess, valkey: redis.Redis
) -> None:
    worker.stop()
    job = submit(api, sample_photo)
    valkey.flushall()

    worker.start()
    wait_until(lambda: finished(job["id"]), timeout=PROMISE)

    assert_done_once(api, job["id"])


def test_a_worker_outlives_a_broker_that_is_killed_again_and_again_in_the_middle_of_an_edit(
    api: APIClient,
    sample_photo: bytes,
    worker: ServiceProcess,
    beat: ServiceProcess,
    comfyui: SandboxServer,
    valkey: redis.Redis,
) -> None:
    comfyui.control(hang=True)
    job = submit(api, sample_photo)
    wait_until(executing)

    for kills in range(1, 4):
        wake_outbox(in_seconds=60)  # the worker holds this message when the broker dies
        wait_for(worker, lambda: not valkey.llen("qwenedit:interactive"))
        os.kill(valkey.info("server")["process_id"], signal.SIGKILL)
        wait_for(worker, lambda kills=kills: worker.output.count("Cannot connect to") >= kills)
        embedded.ensure()
        wait_for(worker, lambda kills=kills: worker.output.count("Connected to") > kills)
    comfyui.control(hang=False)
    wait_for(worker, lambda: finished(job["id"]))

    assert_done_once(api, job["id"])


def wait_for(process: ServiceProcess, condition: Callable[[], object]) -> None:
    """Wait until something is true, while a process lives."""
    wait_until(lambda: not process.is_running or condition(), timeout=PROMISE)
    assert process.is_running, process.output


@pytest.mark.postgres
def test_the_same_on_postgresql_with_the_worker_killed(
    api: APIClient, sample_photo: bytes, comfyui: SandboxServer, beat: ServiceProcess, postgres_url: str
) -> None:
    comfyui.control(hang=True)
    with ServiceProcess("worker", COMFYUI_URL=comfyui.url, DATABASE_URL=postgres_url) as worker:
        job = submit(api, sample_photo)
        wait_until(executing)
        worker.kill()
        comfyui.control(hang=False)
        worker.start()
        wait_until(lambda: finished(job["id"]), timeout=PROMISE)

        assert Attempt.objects.count() == 1
        assert_done_once(api, job["id"])
