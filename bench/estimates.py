"""What a waiting user is told, beside what then happened: place in the queue and time to go.

Several users queue edits of a second on two nodes (of three seconds in the small form, so that somebody waits
on a slow machine, too), once the nodes' durations are known; users take turns as they submit. Every edit is
asked for by `GET jobs/{id}/` right after its submission, and the queue of every user once more when all edits
are in it. The truth is the database's: an edit's end minus the moment of the answer, and how many edits were
begun between that moment and its own beginning. Asked at submission, an edit may rightly wait longer than
told: whoever comes later may be served before a user's second edit.
Fails where an edit does not succeed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests

from bench.comfyui import costless_comfyui
from bench.pictures import picture
from bench.report import Figures, Goal, run
from bench.system import System, installation, wait_until

WARM_UP = 20  # as many as an estimate looks back upon
TOLERANCE = 25  # percent
GOALS = (Goal("queued_within_25_percent", 90, least=True), Goal("queued_median_error_percent", 25))


@dataclass(frozen=True)
class Told:
    """What was said about an edit, and when, in seconds since 1970."""

    job: int
    at: float
    position: int
    eta_seconds: float


@dataclass(frozen=True)
class Span:
    """When an edit was begun and ended, in seconds since 1970."""

    started: float
    finished: float


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises SystemExit where an edit does not succeed."""
    users, each, seconds, warm_up = (4, 3, 3.0, 4) if quick else (12, 5, 1.0, WARM_UP)
    with (
        costless_comfyui(seconds=seconds) as first,
        costless_comfyui(seconds=seconds) as second,
        installation(COMFYUI_URL=f"{first},{second}", INITIAL_BALANCE="100000") as system,
    ):
        system.set_up_django()
        system.start_worker()
        system.start_beat()
        system.start_web()
        from bench.jobs import submit_jobs, unfinished
        from jobs.estimates import typical_duration

        submit_jobs(warm_up, picture("JPEG"))
        wait_until(lambda: not unfinished(), seconds=300)
        at_submission, when_queued = _ask(system, users, each)
        wait_until(lambda: not unfinished(), seconds=300)
        spans, taken = _spans(), typical_duration()
    if len(spans) != warm_up + users * each:
        raise SystemExit(f"{len(spans)} of {warm_up + users * each} edits have a result")
    if not at_submission or not when_queued:
        raise SystemExit("No edit had to wait: the machine submits more slowly than the nodes edit")
    return {
        "edits": users * each,
        "users": users,
        "seconds_each": round(taken.total_seconds(), 3),
        **_compare("queued", when_queued, spans),
        **_compare("submission", at_submission, spans),
    }


def _ask(system: System, users: int, each: int) -> tuple[list[Told], list[Told]]:
    """Submit all edits; return what was told at submission and what was told of those left in the queue."""
    from qwenedit.users.services import create_api_key, register_api_user

    people = []
    for number in range(users):
        session = requests.Session()
        user, _ = register_api_user(username=f"waiting-{number}")
        session.headers["Authorization"] = f"Bearer {create_api_key(user=user)[1]}"
        people.append(session)
    address, photo = f"{system.url}/api/v1/jobs/", picture("JPEG")
    at_submission: list[Told] = []
    for person in people * each:
        answer = person.post(
            address,
            files={"image": ("photo.jpg", photo, "image/jpeg")},
            data={"prompt": "make it an ink drawing"},
            timeout=30,
        )
        answer.raise_for_status()
        at_submission += _told([_get(person, f"{address}{answer.json()['id']}/")])
    return at_submission, [told for person in people for told in _told(_get(person, address)["results"])]


def _get(person: requests.Session, address: str) -> Any:
    answer = person.get(address, timeout=30)
    answer.raise_for_status()
    return answer.json()


def _told(jobs: Sequence[dict[str, Any]]) -> list[Told]:
    """Read what has just been answered; an edit that waits no more is told nothing."""
    now = time.time()
    return [
        Told(job["id"], now, job["position"], job["eta_seconds"])
        for job in jobs
        if job["status"] == "queued" and job["position"] is not None
    ]


def _spans() -> dict[int, Span]:
    from jobs.models import Job
    from jobs.states import JobStatus

    moments = Job.objects.filter(status=JobStatus.SUCCEEDED).values_list("pk", "started_at", "finished_at")
    return {
        pk: Span(started.timestamp(), finished.timestamp())
        for pk, started, finished in moments
        if started is not None and finished is not None
    }


def _compare(name: str, told: Sequence[Told], spans: dict[int, Span]) -> Figures:
    errors, seconds, moved = [], [], []
    for one in told:
        span = spans[one.job]
        true = span.finished - one.at
        seconds.append(abs(one.eta_seconds - true))
        errors.append(100 * seconds[-1] / true)
        true_position = 1 + sum(one.at < other.started < span.started for other in spans.values())
        moved.append(abs(true_position - one.position))
    return {
        f"{name}_asked": len(told),
        f"{name}_within_{TOLERANCE}_percent": round(
            100 * sum(error <= TOLERANCE for error in errors) / len(errors), 1
        ),
        f"{name}_median_error_percent": round(statistics.median(errors), 1),
        f"{name}_median_error_seconds": round(statistics.median(seconds), 2),
        f"{name}_position_exact_percent": round(100 * moved.count(0) / len(moved), 1),
        f"{name}_position_off_by_at_most": max(moved),
    }


if __name__ == "__main__":
    run("estimates", measure, GOALS)
