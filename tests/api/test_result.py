"""`GET /api/v1/jobs/{id}/result/`: the picture's bytes, for the owner alone."""

from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from jobs.models import Job, JobImage
from jobs.states import JobStatus
from qwenedit.users.models import User
from tests.api import photos
from tests.api.conftest import JOBS
from tests.clients import api_client
from tests.factories import JobFactory, JobImageFactory

Problem = Callable[..., dict[str, Any]]


def address(job: Job) -> str:
    """Return where the result is."""
    return f"{JOBS}{job.pk}/result/"


@pytest.fixture
def finished(alice: User) -> Job:
    """An edit of alice's whose result is a real PNG."""
    job: Job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    image = job.images.get()
    image.file.name = default_storage.save("tests/result.png", ContentFile(photos.png()))
    image.save()
    return job


def test_the_result_is_the_pictures_bytes(api: APIClient, finished: Job) -> None:
    answer = api.get(address(finished))
    assert answer.status_code == 200
    assert answer.content == photos.png()
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Length"] == str(len(photos.png()))
    assert answer.headers["Content-Disposition"] == f'inline; filename="edit-{finished.pk}.png"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("accept", ["*/*", "image/png", "image/jpeg", "application/json", "text/html"])
def test_the_picture_comes_whatever_the_client_accepts(api: APIClient, finished: Job, accept: str) -> None:
    assert api.get(address(finished), HTTP_ACCEPT=accept).headers["Content-Type"] == "image/png"


@pytest.mark.parametrize("status", [status for status in JobStatus if status != JobStatus.SUCCEEDED])
def test_an_edit_that_has_not_succeeded_has_no_result(
    api: APIClient, alice: User, problem: Problem, status: JobStatus
) -> None:
    job = JobFactory.create(user=alice, status=status)
    JobImageFactory.create(job=job)  # what was sent is no result
    assert status in problem(api.get(address(job)), 409, "conflict")["detail"]


def test_a_result_past_its_time_is_gone_and_says_so(api: APIClient, finished: Job, problem: Problem) -> None:
    finished.images.all().delete()
    assert "retention" in problem(api.get(address(finished)), 409, "conflict")["detail"]


def test_the_photo_that_was_sent_is_never_the_result(api: APIClient, finished: Job) -> None:
    JobImageFactory.create(job=finished, role=JobImage.Role.INPUT)
    assert api.get(address(finished)).content == photos.png()


def test_only_the_owner_gets_it(finished: Job, bob_key: str, problem: Problem) -> None:
    problem(api_client(bob_key).get(address(finished)), 404, "not_found")
    problem(api_client("").get(address(finished)), 401, "unauthorized")


@pytest.mark.django_db(transaction=True)
@pytest.mark.processes
def test_the_bytes_travel_whole_over_http(site: str, finished: Job, alice_key: str) -> None:
    headers = {"Authorization": f"Bearer {alice_key}"}
    url = requests.get(f"{site}{JOBS}{finished.pk}/", headers=headers, timeout=30).json()["results"][0]["url"]
    assert url == f"{site}{address(finished)}"
    answer = requests.get(url, headers=headers, timeout=30)
    assert (answer.status_code, answer.content) == (200, photos.png())
    head = requests.head(url, headers=headers, timeout=30)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(photos.png()))
