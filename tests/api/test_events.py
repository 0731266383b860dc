"""An edit as it happens: `GET jobs/{id}/events/`, over real HTTP from the server of production."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone
from rest_framework.test import APIClient

from jobs import news
from jobs.models import Job
from jobs.services import cancel_job
from jobs.states import JobStatus
from qwenedit.users.models import User
from tests.api.conftest import JOBS
from tests.api.event_client import EventStream, listening
from tests.factories import JobFactory

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


def test_an_edit_is_followed_from_the_queue_to_its_result(
    stream: EventStream, api: APIClient, job: Job
) -> None:
    events = iter(stream)
    first = next(events)
    assert (first.id, first.name, first.data) == (
        1,
        "status",
        api.get(f"{JOBS}{job.pk}/").json() | {"eta_seconds": first.data["eta_seconds"]},
    )
    assert (first.data["status"], first.data["position"]) == ("queued", 1)

    change(job, status=JobStatus.RUNNING)
    running = next(events)
    assert (running.name, running.data["status"], running.data["position"]) == ("status", "running", None)
    change(job, progress=42)
    progress = next(events)
    assert (progress.name, progress.data["progress"]) == ("progress", 42)
    cancel_job(job=job)
    last = next(events)
    assert (last.name, last.data["status"]) == ("status", "cancelled")
    assert last.data["finished_at"]

    assert [first.id, running.id, progress.id, last.id] == [1, 2, 3, 4]
    assert list(events) == [], "it ends after a final status"
    assert 1000 <= stream.retry <= 3000
