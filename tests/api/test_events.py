"""An edit as it happens: `GET jobs/{id}/events/`, over real HTTP from the server of production."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
import requests
from django.utils import timezone
from rest_framework.test import APIClient

from jobs import news
from jobs.models import Job
from jobs.services import cancel_job
from jobs.states import FINAL, JobStatus
from qwenedit import embedded
from qwenedit.users.models import User
from tests.api.conftest import JOBS, Submit
from tests.api.event_client import TIMEOUT, Event, EventStream, listening
from tests.api.server import WebServer
from tests.factories import JobFactory
from tests.flows.processes import ServiceProcess
from tests.servers import start_sandbox_comfyui
from tests.waiting import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


def change(job: Job, **fields: Any) -> None:
    """Change a row and tell of it, as whoever works on the job does."""
    if fields.get("status") == JobStatus.RUNNING:
        fields |= {"lease_token": uuid.uuid4(), "lease_until": timezone.now() + timedelta(minutes=5)}
    Job.objects.filter(pk=job.pk).update(**fields)
    news.tell(job.pk)


def subscriptions(valkey: redis.Redis) -> int:
    """Return how many processes wait for news of jobs."""
    [(_, count)] = valkey.pubsub_numsub(news.CHANNEL)
    return int(count)


@pytest.fixture
def job(alice: User) -> Job:
    """A job of alice's in the queue."""
    return JobFactory.create(user=alice)


@pytest.fixture
def stream(site: str, job: Job, alice_key: str) -> Iterator[EventStream]:
    """The open stream of alice's job."""
    with listening(site, job.pk, alice_key) as stream:
        yield stream


def test_an_edit_is_followed_from_the_queue_to_its_end(
    stream: EventStream, job: Job, api: APIClient, site: str
) -> None:
    events = iter(stream)
    first = next(events)
    assert (first.name, first.data) == ("status", api.get(f"{JOBS}{job.pk}/").json())
    assert (first.data["status"], first.data["position"], first.data["eta_seconds"]) == ("queued", 1, 20)

    change(job, status=JobStatus.RUNNING)
    running = next(events)
    assert (running.name, running.data["status"], running.data["position"]) == ("status", "running", None)
    change(job, progress=42)
    progress = next(events)
    assert (progress.name, progress.data["progress"]) == ("progress", 42)
    cancel_job(job=job)
    last = next(events)
    assert (last.name, last.data) == ("status", api.get(f"{JOBS}{job.pk}/").json())
    assert last.data["status"] == "cancelled"

    assert [first.id, running.id, progress.id, last.id] == [1, 2, 3, 4]
    assert list(events) == [], "it ends after a final status"


@pytest.mark.timeout(300)
def test_every_step_of_the_sampler_is_seen_and_the_result_is_where_the_last_event_says(
    site: str, submit: Submit, alice_key: str
) -> None:
    # The newest progress alone is told: who stands still while two steps pass does not see the first of them.
    room = 10.0  # seconds that one may stand still after the second and the third; the first waits to be seen
    with (
        start_sandbox_comfyui("--hang") as comfyui,
        ServiceProcess("worker", COMFYUI_URL=comfyui.url),
    ):
        events: list[Event] = []
        began, third = time.monotonic(), 0.0
        job_id = submit().json()["id"]
        with listening(site, job_id, alice_key) as stream:
            for event in stream:
                events.append(event)
                # The steps' times count from the sampler's start, which was after `began`.
                match event.data["progress"]:
                    case 27:  # it hangs in the second step
                        third = time.monotonic() - began + room
                        comfyui.control(hang=False, seconds_per_step=third / 3)
                    case 50:
                        comfyui.control(seconds_per_step=(third + room) / 4)

    seen = [event.data["progress"] for event in events]
    assert seen == sorted(seen)
    assert {27, 50, 73} <= set(seen), "a quarter of what lies between 5 and 95 for each of four steps"
    [result] = events[-1].data["results"]
    assert result["url"] == f"{site}{JOBS}{job_id}/result/"
    picture = requests.get(result["url"], headers={"Authorization": f"Bearer {alice_key}"}, timeout=TIMEOUT)
    assert len(picture.content) == result["bytes"]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_of_a_finished_edit_there_is_one_event_and_the_end(
    site: str, alice: User, alice_key: str, status: JobStatus
) -> None:
    job = JobFactory.create(user=alice, status=status)
    with listening(site, job.pk, alice_key) as stream:
        [event] = stream
    assert (event.id, event.name, event.data["status"]) == (1, "status", status)


def test_whoever_comes_back_is_told_how_things_are_under_a_higher_number(
    site: str, job: Job, alice_key: str
) -> None:
    with listening(site, job.pk, alice_key, Last_Event_ID="41") as stream:
        event = next(iter(stream))
    assert (event.id, event.data["status"]) == (42, "queued")
    assert 1000 <= stream.retry <= 3000


@pytest.mark.parametrize("strange", ["", "x", "-5", "1.5", "9" * 40, "٣"])
def test_a_strange_last_event_id_is_none(site: str, job: Job, alice_key: str, strange: str) -> None:
    job = JobFactory.create(user=job.user, status=JobStatus.CANCELLED)
    address = f"{site}{JOBS}{job.pk}/events/"
    headers = {"Authorization": f"Bearer {alice_key}", "Last-Event-ID": strange.encode()}
    answer = requests.get(address, headers=headers, timeout=TIMEOUT)
    assert answer.status_code == 200
    assert "id: 1\n" in answer.text


def test_the_place_in_the_queue_moves_as_others_leave_it(
    site: str, alice: User, alice_key: str, bob: User
) -> None:
    ahead, job = JobFactory.create(user=bob), JobFactory.create(user=alice)
    with listening(site, job.pk, alice_key) as stream:
        assert stream.until(status="queued").data["position"] == 2
        cancel_job(job=ahead)  # no hint names the job that is listened to: the clock finds it
        assert stream.until(position=1).name == "progress"


def test_waiting_for_a_gpu_is_told(stream: EventStream, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(waiting_for_gpu=True)  # many rows at once, so without hints
    assert stream.until(waiting_for_gpu=True).data["status"] == "queued"


def test_proxies_and_caches_are_told_to_pass_it_on_as_it_comes(stream: EventStream) -> None:
    headers = stream.response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert headers["X-Request-ID"]
    assert "Content-Length" not in headers


@pytest.mark.parametrize("accepted", ["*/*", "text/event-stream", "application/json"])
def test_it_is_sent_whatever_the_client_accepts(site: str, job: Job, alice_key: str, accepted: str) -> None:
    with listening(site, job.pk, alice_key, Accept=accepted) as stream:
        assert next(iter(stream)).data["id"] == job.pk


def test_its_head_can_be_asked_for(site: str, job: Job, alice_key: str) -> None:
    headers = {"Authorization": f"Bearer {alice_key}"}
    answer = requests.head(f"{site}{JOBS}{job.pk}/events/", headers=headers, timeout=TIMEOUT)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert answer.content == b""


def test_without_an_event_loop_it_is_the_present_state(api: APIClient, job: Job) -> None:
    answer = api.get(f"{JOBS}{job.pk}/events/")
    assert answer.status_code == 200
    assert answer.content.count(b"event: ") == 1


@pytest.mark.parametrize(
    ("key", "status", "code"), [("charlie_key", 404, "not_found"), ("", 401, "unauthorized")]
)
def test_strangers_are_told_nothing(
    site: str,
    job: Job,
    key: str,
    status: int,
    code: str,
    problem: Callable[..., dict[str, Any]],
    request: pytest.FixtureRequest,
) -> None:
    text = request.getfixturevalue(key) if key else "wrong"
    headers = {"Authorization": f"Bearer {text}", "Accept": "text/event-stream"}
    address = f"{site}{JOBS}{job.pk}/events/"
    problem(requests.get(address, headers=headers, timeout=TIMEOUT), status, code)


def test_a_job_that_is_deleted_ends_its_streams(stream: EventStream, job: Job) -> None:
    events = iter(stream)
    next(events)
    Job.objects.filter(pk=job.pk).delete()
    assert list(events) == []


class TestOutages:
    """Without Valkey, and with a server that stops."""

    def test_without_valkey_the_end_comes_all_the_same_and_with_it_hints_are_back(
        self, stream: EventStream, job: Job, valkey: redis.Redis
    ) -> None:
        stream.until(status="queued")
        wait_until(lambda: subscriptions(valkey) == 1)
        valkey.shutdown(nosave=True)
        change(job, status=JobStatus.RUNNING)
        stream.until(status="running")

        embedded.ensure()
        wait_until(lambda: subscriptions(valkey) == 1)
        cancel_job(job=job)
        stream.until(status="cancelled")

    def test_a_server_that_stops_ends_its_streams_first(self, job: Job, alice_key: str) -> None:
        with WebServer() as server, listening(server.url, job.pk, alice_key) as stream:
            stream.until(status="queued")
            server.stop()
            assert list(stream) == [], "ended as the protocol wants it: a broken stream raises"


class TestLimits:
    """A user's streams are counted, and forgotten as soon as the client is gone."""

    def test_one_stream_more_than_a_user_may_have_is_refused_until_one_is_closed(
        self, job: Job, alice_key: str, bob: User, bob_key: str, problem: Callable[..., dict[str, Any]]
    ) -> None:
        with WebServer(MAX_EVENT_STREAMS_PER_USER="1") as server:
            headers = {"Authorization": f"Bearer {alice_key}"}
            address = f"{server.url}{JOBS}{job.pk}/events/"
            with listening(server.url, job.pk, alice_key) as stream:
                stream.until(status="queued")
                wait_until(lambda: refused(address, headers))
                refusal = requests.get(address, headers=headers, timeout=TIMEOUT)
                assert problem(refusal, 429, "rate_limited")["limit"] == 1
                with listening(server.url, JobFactory.create(user=bob).pk, bob_key) as other:
                    other.until(status="queued")
            wait_until(lambda: not refused(address, headers))

    def test_where_nobody_listens_any_more_nothing_is_left(
        self, site: str, job: Job, alice_key: str, valkey: redis.Redis
    ) -> None:
        for _ in range(2):
            with listening(site, job.pk, alice_key) as stream:
                stream.until(status="queued")
                wait_until(lambda: subscriptions(valkey) == 1)
            wait_until(lambda: subscriptions(valkey) == 0)


def refused(address: str, headers: dict[str, str]) -> bool:
    """Whether a stream is refused; closes it if it is not."""
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        return answer.status_code == 429
