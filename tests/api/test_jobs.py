"""`GET /api/v1/jobs/` and `GET /api/v1/jobs/{id}/`: the user's own edits, and nobody else's."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from jobs.models import Job
from jobs.states import JobStatus
from qwenedit.users.models import User
from tests.api.conftest import JOBS
from tests.clients import api_client
from tests.factories import JobFactory, NodeFactory, PresetFactory

Problem = Callable[..., dict[str, Any]]


def of(job: Job) -> str:
    """Return the address of a job."""
    return f"{JOBS}{job.pk}/"


def test_a_queued_edit_says_where_it_stands(api: APIClient, alice: User) -> None:
    JobFactory.create()
    job = JobFactory.create(user=alice, prompt="add snow", seed=5)
    body = api.get(of(job)).json()
    assert body == {
        "id": job.pk,
        "status": "queued",
        "progress": 0,
        "waiting_for_gpu": False,
        "position": 2,
        "eta_seconds": body["eta_seconds"],
        "price": 30,
        "preset": None,
        "prompt": "add snow",
        "seed": 5,
        "error": None,
        "results": [],
        "created_at": body["created_at"],
        "started_at": None,
        "finished_at": None,
    }
    assert body["eta_seconds"] > 0


def test_a_running_edit_says_how_far_it_is_and_no_place(api: APIClient, alice: User) -> None:
    body = api.get(of(JobFactory.create(user=alice, status=JobStatus.RUNNING, progress=40))).json()
    assert (body["status"], body["progress"]) == ("running", 40)
    assert body["position"] is None
    assert body["eta_seconds"] is None
    assert body["started_at"]


def test_an_edit_that_succeeded_says_where_its_result_is(api: APIClient, alice: User) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    body = api.get(of(job)).json()
    assert body["results"] == [
        {"url": f"http://testserver{of(job)}result/", "width": 8, "height": 8, "bytes": 7}
    ]
    assert (body["status"], body["progress"], body["error"]) == ("succeeded", 100, None)
    assert body["finished_at"]


def test_an_edit_whose_result_was_deleted_names_none(api: APIClient, alice: User) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    job.images.all().delete()
    assert api.get(of(job)).json()["results"] == []


def test_an_edit_that_failed_says_why(api: APIClient, alice: User) -> None:
    job = JobFactory.create(
        user=alice, status=JobStatus.FAILED, error_code="out_of_memory", error_message="Points are back."
    )
    body = api.get(of(job)).json()
    assert body["status"] == "failed"
    assert body["error"] == {"code": "out_of_memory", "message": "Points are back."}


def test_an_edit_that_waits_for_the_gpu_says_so(api: APIClient, alice: User) -> None:
    job = JobFactory.create(user=alice, waiting_for_gpu=True)
    assert api.get(of(job)).json()["waiting_for_gpu"] is True


def test_an_edit_by_preset_does_not_tell_the_presets_prompt(api: APIClient, alice: User) -> None:
    job = JobFactory.create(user=alice, preset=PresetFactory.create(slug="pencil"), prompt="the secret")
    body = api.get(of(job)).json()
    assert (body["preset"], body["prompt"]) == ("pencil", None)


def test_the_list_is_newest_first_and_holds_only_ones_own(api: APIClient, alice: User, bob: User) -> None:
    mine = [
        JobFactory.create(user=alice, status=JobStatus.CANCELLED),
        JobFactory.create(user=alice),
    ]
    JobFactory.create(user=bob)
    body = api.get(JOBS).json()
    assert [job["id"] for job in body["results"]] == [mine[1].pk, mine[0].pk]
    assert body["next"] is body["previous"] is None


def test_a_job_in_the_list_looks_as_it_does_alone(api: APIClient, alice: User) -> None:
    jobs = [
        JobFactory.create(user=alice, price=1, status=status)
        for status in JobStatus
        if status != JobStatus.RUNNING
    ]
    listed = {job["id"]: job for job in api.get(JOBS).json()["results"]}
    for job in jobs:
        assert listed[job.pk] == api.get(of(job)).json()


def test_the_list_comes_in_pages(api: APIClient, alice: User) -> None:
    jobs = JobFactory.create_batch(5, user=alice, status=JobStatus.CANCELLED)
    first = api.get(JOBS, {"page_size": 3}).json()
    second = api.get(first["next"]).json()
    ids = [job["id"] for job in first["results"] + second["results"]]
    assert ids == [job.pk for job in reversed(jobs)]


def test_a_page_costs_as_many_queries_as_one_job(api: APIClient, alice: User) -> None:
    NodeFactory.create()
    PresetFactory.create()
    JobFactory.create(user=alice, preset=PresetFactory.create(), price=1)
    api.get(JOBS)  # records the use of the key, once a minute
    with CaptureQueriesContext(connection) as one:
        api.get(JOBS)
    for _ in range(10):
        JobFactory.create(user=alice, preset=PresetFactory.create(), price=1)
    with CaptureQueriesContext(connection) as many:
        assert len(api.get(JOBS).json()["results"]) == 11
    assert len(many) == len(one)


def test_positions_in_a_page_are_those_of_the_queue(api: APIClient, alice: User) -> None:
    for _ in range(3):
        JobFactory.create(price=1)
        JobFactory.create(user=alice, price=1)
    JobFactory.create(user=alice, price=1, priority=Job.Priority.BATCH)
    JobFactory.create(price=1)
    assert [job["position"] for job in api.get(JOBS).json()["results"]] == [8, 6, 4, 2]


@pytest.mark.parametrize("what", ["", "result/"])
def test_somebody_elses_edit_does_not_exist(api: APIClient, bob: User, problem: Problem, what: str) -> None:
    job = JobFactory.create(user=bob, status=JobStatus.SUCCEEDED)
    theirs = problem(api.get(f"{of(job)}{what}"), 404, "not_found")
    nobodys = problem(api.get(f"{JOBS}{job.pk + 1000}/{what}"), 404, "not_found")
    assert theirs == nobodys


def test_staff_have_no_way_around_it(bob: User, bob_key: str, alice: User, problem: Problem) -> None:
    bob.is_staff = bob.is_superuser = True
    bob.save()
    problem(api_client(bob_key).get(of(JobFactory.create(user=alice))), 404, "not_found")


@pytest.mark.parametrize(
    "strange",
    [
        "0",
        "-1",
        "abc",
        "1.0",
        "1e3",
        "%00",
        "%2e%2e",
        "٣",
        "🙂",
        "1;2",
        "2147483648",
        "9223372036854775807",
        "9223372036854775808",
        "1" * 30,
        "1" * 5000,
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("what", ["", "result/"])
def test_an_id_that_no_job_has_is_not_found(
    api: APIClient, problem: Problem, strange: str, what: str
) -> None:
    problem(api.get(f"{JOBS}{strange}/{what}"), 404, "not_found")


def test_no_cache_may_keep_them(api: APIClient, alice: User) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    for address in (JOBS, of(job), f"{of(job)}result/"):
        assert api.get(address).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["head", "options"])
def test_head_and_options_are_answered(api: APIClient, alice: User, method: str) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    for address in (JOBS, of(job), f"{of(job)}result/", f"{of(job)}cancel/"):
        answer = getattr(api, method)(address)
        assert answer.status_code == (405 if method == "head" and "cancel" in address else 200)


def test_options_do_not_take_the_answers_fields_for_the_requests(api: APIClient) -> None:
    body = api.options(JOBS).json()
    assert "actions" not in body
    assert body["parses"] == ["multipart/form-data"]
