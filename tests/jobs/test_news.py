"""News of jobs: published once committed, cheap where the broker is gone, followed over its outages."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
from django.db import transaction

from jobs import news
from jobs.models import Job
from jobs.scheduler import Claim, claim_next
from jobs.services import cancel_job, settle_failure
from jobs.states import JobStatus
from qwenedit.users.models import User
from tests.factories import JobFactory
from tests.jobs.conftest import Submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_memory_of_earlier_failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(news, "_silent_until", 0.0)
    news._publisher.cache_clear()
    yield
    news._publisher.cache_clear()


@pytest.fixture
def heard(valkey: redis.Redis) -> Iterator[Callable[[], list[int]]]:
    """The jobs that were told of since it was last called."""
    with closing(valkey.pubsub(ignore_subscribe_messages=True)) as subscription:
        subscription.subscribe(news.CHANNEL)
        subscription.get_message(timeout=5)

        def heard() -> list[int]:
            valkey.publish(news.CHANNEL, "end")
            ids: list[int] = []
            while True:
                message = subscription.get_message(timeout=5)
                if message is None:
                    continue
                if message["data"] == b"end":
                    return ids
                ids.append(int(message["data"]))

        yield heard


def test_every_change_of_a_jobs_state_is_told(
    submit: Submit, node: Any, heard: Callable[[], list[int]]
) -> None:
    job = submit()
    assert heard() == [], "nobody can follow a job that nobody knows of"

    claim = claim_next()
    assert isinstance(claim, Claim)
    assert heard() == [job.pk]

    failure = {"code": "out_of_memory", "message": "No memory.", "detail": "", "retryable": True}
    settle_failure(lease=claim.lease, attempt=claim.attempt, **failure)
    job.refresh_from_db()
    assert (job.status, heard()) == (JobStatus.QUEUED, [job.pk])

    cancel_job(job=job)
    assert heard() == [job.pk]


def test_an_edit_tells_of_its_progress_and_of_its_end(
    submit: Submit, run: Callable[[], Claim], heard: Callable[[], list[int]]
) -> None:
    job = submit()
    run()
    told = heard()
    assert set(told) == {job.pk}
    assert len(told) >= 3, "claim, progress, success"


def test_it_is_told_once_the_change_is_committed_and_not_if_it_never_is(
    alice: User, heard: Callable[[], list[int]]
) -> None:
    with transaction.atomic():
        news.tell(1)
        assert heard() == []
    assert heard() == [1]
    with transaction.atomic():
        news.tell(2)
        transaction.set_rollback(True)
    assert heard() == []


def test_a_broker_that_is_silent_is_asked_once_in_a_while(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, alice: User
) -> None:
    monkeypatch.setattr(news, "PATIENCE", 0.2)
    monkeypatch.setattr(news, "SILENCE_AFTER_FAILURE", 600)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        settings.CACHE_URL = f"redis://127.0.0.1:{server.getsockname()[1]}"
        job = JobFactory.create(user=alice)
        for _ in range(5):
            news.tell(job.pk)
        server.settimeout(10)
        server.accept()[0].close()
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert caplog.text.count("News of a job not published") == 1
    assert cancel_job(job=job).status == JobStatus.CANCELLED
    assert Job.objects.get().status == JobStatus.CANCELLED
