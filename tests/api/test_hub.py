"""One reader for all listeners of a process: what is kept for the slow, and what ends a stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import pytest
from django.db import DatabaseError, connections
from django.http import StreamingHttpResponse

from jobs.models import Job
from jobs.services import cancel_job
from qwenedit import handler as request_handler
from qwenedit.api import event_streams, hub
from qwenedit.api.event_streams import Events, stream
from qwenedit.api.hub import Hub, Listener
from qwenedit.api.snapshots import Snapshot, Topic, snapshot
from qwenedit.handler import Handler
from qwenedit.users.models import User
from tests.factories import JobFactory

T = TypeVar("T")
TIMEOUT = 60.0
KEEP_ALIVE = b": keep-alive\n\n"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub for the event loop of one test."""
    fresh = Hub()
    monkeypatch.setattr(event_streams, "hub", fresh)
    return fresh


@pytest.fixture
def job(alice: User) -> Job:
    """A job of alice's in the queue."""
    return JobFactory.create(user=alice)


def run(test: Awaitable[T]) -> T:
    """Run a test's coroutine on a loop of its own."""

    async def in_time() -> T:
        return await asyncio.wait_for(test, TIMEOUT)

    return asyncio.run(in_time())


async def in_thread(action: Callable[[], T]) -> T:
    """Do something with the database beside the loop."""

    def act() -> T:
        try:
            return action()
        finally:
            connections.close_all()

    return await asyncio.to_thread(act)


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[AsyncIterator[bytes]]:
    """Open a job's stream as the view does."""
    topic, events = Topic(job.pk, "https://edit.example"), Events("")
    first = await in_thread(lambda: snapshot(topic, job))
    async with aclosing(stream(topic, job.user_id, first, events.beginning(first), events)) as sent:
        yield sent


def looking(number: int, status: str = "running") -> Snapshot:
    """Return a snapshot unlike others."""
    return Snapshot.of({"status": status, "progress": number})


class TestListener:
    """What one listener is shown."""

    def test_whoever_is_slow_is_shown_the_newest_alone(self) -> None:
        async def test() -> None:
            listener = Listener(looking(0))
            for number in range(1, 1000):
                listener.show(looking(number))
            assert await listener.next(timeout=TIMEOUT) == looking(999)
            assert await listener.next(timeout=0.01) is None

        run(test())

    def test_what_was_seen_is_not_shown_again(self) -> None:
        async def test() -> None:
            listener = Listener(looking(1))
            listener.show(looking(1))
            assert await listener.next(timeout=0.01) is None

        run(test())


class TestStream:
    """What ends a stream, and what keeps it open."""

    def test_silence_is_broken_so_that_nothing_between_closes_the_connection(
        self, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_streams, "KEEP_ALIVE_EVERY", 0.01)

        async def test() -> None:
            async with opened(job) as sent:
                assert b"event: status" in await anext(sent)
                assert [await anext(sent) for _ in range(3)] == [KEEP_ALIVE] * 3

        run(test())

    def test_its_life_is_bounded_so_that_a_key_that_was_revoked_opens_no_more(
        self, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_streams, "LONGEST_LIFE", 0.2)

        async def test() -> list[bytes]:
            async with opened(job) as sent:
                return [piece async for piece in sent]

        first, *rest = run(test())
        assert b'"status":"queued"' in first
        assert set(rest) <= {KEEP_ALIVE}

    def test_a_hub_that_closes_ends_all_and_whoever_comes_later(self, job: Job, fresh_hub: Hub) -> None:
        async def test() -> None:
            async with opened(job) as before, opened(job) as arriving:
                await anext(before)
                waiting = asyncio.ensure_future(anext(before, None))
                await asyncio.sleep(0)
                await anext(arriving)
                fresh_hub.close()
                assert await waiting is None
                assert await anext(arriving, None) is None
            async with opened(job) as late:
                assert len([piece async for piece in late]) == 1

        run(test())

    def test_a_database_that_does_not_answer_makes_it_late_and_no_more(
        self, job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(hub, "LOOK_EVERY", 0.05)
        read, failures = hub.changes, iter([DatabaseError("gone")] * 3)

        def changes(shown: Any) -> Any:
            for failure in failures:
                raise failure
            return read(shown)

        monkeypatch.setattr(hub, "changes", changes)

        async def test() -> list[bytes]:
            async with opened(job) as sent:
                first = await anext(sent)
                await in_thread(lambda: cancel_job(job=job))
                return [first, *[piece async for piece in sent if piece != KEEP_ALIVE]]

        assert b'"status":"cancelled"' in run(test())[-1]
        assert caplog.text.count("can not be read") == 3

    def test_two_who_saw_different_things_are_brought_to_the_same(self, job: Job) -> None:
        async def test() -> None:
            async with opened(job) as early:
                await anext(early)
                await in_thread(lambda: Job.objects.filter(pk=job.pk).update(progress=10))
                later = await in_thread(lambda: Job.objects.select_related("preset").get())
                async with opened(later) as late:
                    assert b'"progress":10' in await anext(late)
                    waiting = asyncio.ensure_future(anext(late))
                    assert b'"progress":10' in await anext(early)
                    await in_thread(lambda: cancel_job(job=job))
                    assert b'"status":"cancelled"' in await anext(early)
                    assert b'"status":"cancelled"' in await waiting

        run(test())


class TestHandler:
    """A client that stays and takes nothing."""

    def test_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(request_handler, "LONGEST_SEND", 0.05)
        ended = []

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
            finally:
                ended.append(True)

        async def test() -> None:
            async def receive() -> dict[str, str]:
                return await asyncio.Future()

            async def send(message: Any) -> None:
                if message["type"] == "http.response.body":
                    await asyncio.Future()

            handler = Handler.__new__(Handler)
            await handler._send_stream(StreamingHttpResponse(endless()), receive, send)

        run(test())
        assert ended == [True]
