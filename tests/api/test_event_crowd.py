"""A thousand people follow their edits through one web process, with its usual threads and connections."""

import asyncio
import resource
from collections.abc import Callable, Iterator

import psutil
import psycopg
import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector
from django.conf import settings
from django.db import connections

from jobs.models import Job
from jobs.services import cancel_job
from qwenedit.users.models import User
from tests.api.conftest import JOBS
from tests.api.server import WebServer
from tests.factories import JobFactory, give_points
from tests.waiting import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.postgres, pytest.mark.timeout(600)]

CROWD = 1000
JOBS_FOLLOWED = 10
AT_THE_DOOR = 20  # who come at the same moment
POOL = 4
SPARE_FILES = 200  # of this process, for all that is no stream
FEW_THREADS = 20  # the hub's one, five of the pool of connections, eight kept for the next requests, and some


@pytest.fixture
def crowd() -> Iterator[int]:
    """How many listeners there can be: a thousand, or what this machine lets one process open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CROWD + SPARE_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    yield allowed - SPARE_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def web(postgres_url: str) -> Iterator[WebServer]:
    """A web process with a handful of database connections, which are known by their name."""
    url = f"{postgres_url}?application_name=web"
    with WebServer(DATABASE_URL=url, DATABASE_POOL_SIZE=str(POOL)) as server:
        yield server


@pytest.fixture
def jobs(alice: User) -> list[Job]:
    """What the crowd follows."""
    give_points(alice, JOBS_FOLLOWED * settings.EDIT_COST)
    return JobFactory.create_batch(JOBS_FOLLOWED, user=alice)


def test_a_thousand_listeners_hold_no_thread_and_no_database_connection_and_all_hear_the_end(
    crowd: int, web: WebServer, postgres_url: str, jobs: list[Job], alice_key: str
) -> None:
    process = psutil.Process(web.pid)

    def open_connections() -> int:
        with psycopg.connect(postgres_url) as connection:
            counted = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'web'"
            ).fetchone()
            assert counted is not None
            return int(counted[0])

    def while_they_listen() -> None:
        wait_until(lambda: process.num_threads() <= threads_before + FEW_THREADS)
        assert open_connections() <= POOL
        for job in jobs:
            cancel_job(job=job)
        connections.close_all()

    threads_before = process.num_threads()
    addresses = [f"{web.url}{JOBS}{jobs[n % JOBS_FOLLOWED].pk}/events/" for n in range(crowd)]
    told = asyncio.run(follow(addresses, alice_key, while_they_listen))
    assert [text.count('"status":"queued"') >= 1 for text in told] == [True] * crowd
    assert [text.count('"status":"cancelled"') for text in told] == [1] * crowd
    wait_until(lambda: process.num_threads() <= threads_before + FEW_THREADS)
    assert open_connections() <= POOL


async def follow(addresses: list[str], key: str, meanwhile: Callable[[], None]) -> list[str]:
    """Follow all addresses to their end; do `meanwhile`, once all have been told how things are."""
    door = asyncio.Semaphore(AT_THE_DOOR)
    all_are_in = asyncio.Barrier(len(addresses) + 1)
    async with ClientSession(
        connector=TCPConnector(limit=0),
        headers={"Authorization": f"Bearer {key}"},
        timeout=ClientTimeout(total=None, sock_read=60),
    ) as session:

        async def listen(address: str) -> str:
            async with door:
                answer = await session.get(address)
                assert answer.status == 200, await answer.text()
                first = await answer.content.readuntil(b"}\n\n")
            await all_are_in.wait()
            async with answer:
                return (first + await answer.read()).decode()

        async with asyncio.TaskGroup() as group:
            listeners = [group.create_task(listen(address)) for address in addresses]
            await all_are_in.wait()
            await asyncio.to_thread(meanwhile)
        return [listener.result() for listener in listeners]
