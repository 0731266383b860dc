"""Sixteen clients against the web processes, one kind of request after another; `/healthz` is the floor.

Each asks again as soon as it is answered, so that the processors are never idle: a time is then sixteen
times what one request costs. The kinds take turns for a few rounds, of which the median counts, as a shared
machine changes its speed within seconds; `get_job_ms_p99_slowest` is that of the slowest round. `polling` is
`GET jobs/{id}/` by sixteen clients that ask four times a second.
No worker runs, so that the edits stay queued: a queued edit costs most to show, as its place is counted.
Fails where an answer is not what it should be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

import aiohttp

from bench.pictures import picture
from bench.report import Figures, Goal, percentiles, run
from bench.system import System, installation

CLIENTS = 16
POLL_EVERY = 0.25  # seconds
GOALS = (Goal("get_job_ms_p99", 50),)
Request = Callable[[aiohttp.ClientSession, int, int], Awaitable[None]]


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises aiohttp.ClientResponseError for an answer that is a refusal."""
    with installation(
        INITIAL_BALANCE="100000000",
        MAX_ACTIVE_JOBS_PER_USER="1000000",
        YOOKASSA_WEBHOOK_NETWORKS="127.0.0.0/8",
    ) as system:
        system.set_up_django()
        system.start_web()
        from qwenedit.users.services import create_api_key, register_api_user

        people = [register_api_user(username=f"bench-{number}")[0] for number in range(CLIENTS)]
        keys = [create_api_key(user=person)[1] for person in people]
        return asyncio.run(_measure(system, keys, *((2, 5) if quick else (5, 100))))


async def _measure(system: System, keys: list[str], rounds: int, each: int) -> Figures:
    photo = picture("JPEG")
    jobs: dict[int, int] = {}

    async def healthz(session: aiohttp.ClientSession, _client: int, _number: int) -> None:
        async with session.get("/healthz") as answer:
            await answer.read()

    async def post_job(session: aiohttp.ClientSession, client: int, _number: int) -> None:
        form = aiohttp.FormData({"prompt": "make it an ink drawing"})
        form.add_field("image", photo, filename="photo.jpg", content_type="image/jpeg")
        async with session.post("/api/v1/jobs/", data=form) as answer:
            jobs[client] = (await answer.json())["id"]

    async def get_job(session: aiohttp.ClientSession, client: int, _number: int) -> None:
        async with session.get(f"/api/v1/jobs/{jobs[client]}/") as answer:
            await answer.read()

    async def notification(session: aiohttp.ClientSession, client: int, number: int) -> None:
        body = {"event": "payment.succeeded", "object": {"id": f"bench-{client}-{number}"}}
        async with session.post("/webhooks/yookassa/", json=body) as answer:
            await answer.read()

    kinds = {"healthz": healthz, "post_job": post_job, "get_job": get_job, "notification": notification}
    rows: list[Figures] = []
    for number in range(rounds):
        row: Figures = {}
        for name, request in kinds.items():
            times, seconds = await _storm(system.url, keys, each, request, first=number * each)
            rate = len(times) / seconds
            row |= {**percentiles(f"{name}_ms", times), f"{name}_per_second": round(rate, 1)}
        rows.append(row)
    figures: Figures = {"clients": CLIENTS, "rounds": rounds, "requests_each": CLIENTS * each}
    figures |= {name: round(median(row[name] for row in rows), 2) for name in rows[0]}
    figures["get_job_ms_p99_slowest"] = max(row["get_job_ms_p99"] for row in rows)
    times, seconds = await _storm(system.url, keys, max(1, each // 2), get_job, every=POLL_EVERY)
    figures |= {**percentiles("polling_ms", times), "polling_per_second": round(len(times) / seconds, 1)}
    for name in ("post_job", "get_job", "notification"):
        figures[f"{name}_ratio"] = round(figures[f"{name}_ms_p50"] / figures["healthz_ms_p50"], 2)
    return figures


async def _storm(
    url: str, keys: list[str], each: int, request: Request, *, every: float = 0.0, first: int = 0
) -> tuple[list[float], float]:
    """Return the milliseconds of every request, and the seconds of all.

    Every client sends one at a time: at once, or at fixed moments, `every` seconds apart, from which the time
    runs that an answer took. They are numbered from `first`.
    """
    times: list[float] = []

    async def client(number: int) -> None:
        headers = {"Authorization": f"Bearer {keys[number]}"}
        async with aiohttp.ClientSession(url, headers=headers, raise_for_status=True) as session:
            await request(session, number, -1)  # the connections, here and to the database
            await ready.wait()
            begin = time.perf_counter() + every * number / len(keys)
            for count in range(each):
                due = begin + count * every if every else time.perf_counter()
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await request(session, number, first + count)
                times.append(1000 * (time.perf_counter() - due))

    ready = asyncio.Barrier(len(keys) + 1)
    async with asyncio.TaskGroup() as clients:
        for number in range(len(keys)):
            clients.create_task(client(number))
        await ready.wait()
        started = time.perf_counter()
    return times, time.perf_counter() - started


if __name__ == "__main__":
    run("api", measure, GOALS)
