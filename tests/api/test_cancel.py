"""`POST /api/v1/jobs/{id}/cancel/`: points back if the edit had not succeeded, however often it is asked."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from jobs.models import Job
from jobs.states import JobStatus
from payments.models import LedgerEntry
from qwenedit.users.models import User
from tests.api.conftest import JOBS, Submit
from tests.api.traces import nothing_left
from tests.clients import api_client
from tests.factories import JobFactory

Problem = Callable[..., dict[str, Any]]


def cancel(api: APIClient, job: Job | int, **request: Any) -> Any:
    """Ask to cancel a job."""
    return api.post(f"{JOBS}{getattr(job, 'pk', job)}/cancel/", **request)


def balance(user: User) -> int:
    """Return the balance of now."""
    user.refresh_from_db()
    return user.balance


def test_a_queued_edit_is_cancelled_and_its_points_come_back(
    api: APIClient, submit: Submit, alice: User
) -> None:
    job_id = submit().json()["id"]
    assert balance(alice) == 30
    answer = cancel(api, job_id)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["status"], body["position"]) == (job_id, "cancelled", None)
    assert body["finished_at"]
    assert balance(alice) == 60
    assert LedgerEntry.objects.get(key=f"job:{job_id}:refund").amount == 30


def test_a_running_edit_is_cancelled_too(api: APIClient, alice: User) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.RUNNING)
    assert cancel(api, job).json()["status"] == "cancelled"
    assert balance(alice) == 60


def test_asking_again_changes_nothing(api: APIClient, submit: Submit, alice: User) -> None:
    job_id = submit().json()["id"]
    first = cancel(api, job_id).json()
    with nothing_left():
        assert cancel(api, job_id).json() == first
    assert balance(alice) == 60


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED])
def test_a_finished_edit_stays_as_it_is(api: APIClient, alice: User, status: JobStatus) -> None:
    job = JobFactory.create(user=alice, status=status)
    with nothing_left():
        answer = cancel(api, job)
    assert answer.status_code == 200
    assert answer.json()["status"] == status


def test_somebody_elses_edit_can_not_be_cancelled(alice: User, bob_key: str, problem: Problem) -> None:
    job = JobFactory.create(user=alice)
    with nothing_left():
        problem(cancel(api_client(bob_key), job), 404, "not_found")


@pytest.mark.parametrize("strange", ["0", "9" * 30, "x"])
def test_an_id_that_no_job_has_is_not_found(api: APIClient, problem: Problem, strange: str) -> None:
    problem(api.post(f"{JOBS}{strange}/cancel/"), 404, "not_found")


@pytest.mark.parametrize("body", ["", "{", '{"reason": "none"}'])
def test_a_body_is_neither_needed_nor_read(api: APIClient, alice: User, body: str) -> None:
    job = JobFactory.create(user=alice)
    answer = cancel(api, job, data=body, content_type="application/json")
    assert answer.json()["status"] == "cancelled"
