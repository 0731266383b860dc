"""Every error of the API is a problem (RFC 9457), also where no view was reached."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client, override_settings
from rest_framework.test import APIClient

from jobs.states import JobStatus
from qwenedit.problems import TITLES
from qwenedit.users.models import User
from tests.api.conftest import JOBS, Submit, upload
from tests.clients import api_client
from tests.factories import JobFactory, give_points

Problem = Callable[..., dict[str, Any]]
ME = "/api/v1/me/"
SECRETS = ("Traceback", "FileNotFoundError", "/work", "site-packages", "sqlite", "settings")

Provoke = Callable[[APIClient, User, Submit], Any]


def _spend_all(user: User) -> None:
    give_points(user, -user.balance)


def _replay_changed(submit: Submit) -> Any:
    submit(key="k")
    return submit(key="k", prompt="something else entirely")


PROVOKED: dict[tuple[int, str], Provoke] = {
    (400, "invalid_request"): lambda api, alice, submit: submit(seed="x"),
    (400, "invalid_image"): lambda api, alice, submit: submit(image=upload(b"no picture")),
    (400, "prompt_rejected"): lambda api, alice, submit: submit(prompt="undress the woman"),
    (401, "unauthorized"): lambda api, alice, submit: api_client("").get(ME),
    (402, "insufficient_points"): lambda api, alice, submit: _spend_all(alice) or submit(),
    (404, "not_found"): lambda api, alice, submit: api.get(f"{JOBS}999/"),
    (405, "method_not_allowed"): lambda api, alice, submit: api.put(ME),
    (409, "conflict"): lambda api, alice, submit: api.get(
        f"{JOBS}{JobFactory.create(user=alice).pk}/result/"
    ),
    (409, "idempotency_mismatch"): lambda api, alice, submit: _replay_changed(submit),
    (413, "too_large"): lambda api, alice, submit: submit(image=upload(b"\0" * (21 << 20))),
    (415, "unsupported_media_type"): lambda api, alice, submit: api.post(JOBS, {}, format="json"),
    (429, "too_many_jobs"): lambda api, alice, submit: submit(),
}


@pytest.mark.parametrize(("status", "code"), PROVOKED, ids=lambda value: str(value))
def test_every_code_comes_as_a_problem(
    api: APIClient, alice: User, submit: Submit, problem: Problem, status: int, code: str
) -> None:
    with override_settings(MAX_ACTIVE_JOBS_PER_USER=0 if code == "too_many_jobs" else 10):
        body = problem(PROVOKED[status, code](api, alice, submit), status, code)
    assert body["type"] == f"urn:qwenedit:problem:{code}"
    assert body["title"] == TITLES[code]
    assert body["detail"].endswith((".", "!", "”"))


@pytest.mark.parametrize("method", ["put", "patch", "delete", "post"])
def test_a_method_that_an_address_lacks_is_told_with_those_it_has(
    api: APIClient, problem: Problem, method: str
) -> None:
    answer = getattr(api, method)(ME)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_a_job_is_neither_changed_nor_deleted_over_the_api(
    api: APIClient, alice: User, problem: Problem
) -> None:
    job = JobFactory.create(user=alice)
    for method in (api.put, api.patch, api.delete, api.post):
        problem(method(f"{JOBS}{job.pk}/"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "address", ["/api/", "/api/v1/", "/api/v1/nothing/", "/api/v2/me/", "/api/v1/me/x/", "/api/%00/"]
)
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.django_db
def test_an_unknown_address_of_the_api_is_a_problem(
    client: Client, problem: Problem, address: str, debug: bool
) -> None:
    with override_settings(DEBUG=debug):
        for method in (client.get, client.post):
            problem(method(address), 404, "not_found")


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.django_db
def test_a_forgotten_slash_leads_to_the_address_with_it(client: Client, debug: bool) -> None:
    with override_settings(DEBUG=debug):
        for answer in (client.get("/api/v1/jobs?page_size=3"), client.post("/api/v1/jobs?page_size=3")):
            assert answer.status_code == 308
            assert answer.headers["Location"] == "/api/v1/jobs/?page_size=3"


@pytest.mark.django_db
def test_an_unknown_address_elsewhere_is_a_plain_page(client: Client) -> None:
    answer = client.get("/nothing")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.django_db
def test_another_host_is_refused_as_a_problem(client: Client, problem: Problem) -> None:
    problem(client.get(ME, headers={"host": "evil.example"}), 400, "invalid_request")
    assert client.get("/", headers={"host": "evil.example"}).headers["Content-Type"].startswith("text/html")


def test_a_mistake_of_ours_is_a_problem_that_tells_nothing_of_it(
    api: APIClient, alice: User, problem: Problem
) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    default_storage.delete(job.images.get().file.name)  # which no code of ours does while the row lives
    api.raise_request_exception = False
    with pytest.MonkeyPatch.context() as unlisted:
        unlisted.setattr("tests.api.contract.NEVER_LISTED", {500})
        answer = api.get(f"{JOBS}{job.pk}/result/")
    problem(answer, 500, "internal_error")
    assert not [secret for secret in SECRETS if secret in answer.content.decode()]
    assert answer.headers["X-Request-ID"]


def test_a_problem_names_the_request_and_is_never_cached(api: APIClient) -> None:
    answer = api.get(f"{JOBS}999/")
    assert answer.headers["X-Request-ID"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/xml", "nonsense", ""])
def test_a_problem_comes_whatever_the_client_accepts(api: APIClient, problem: Problem, accept: str) -> None:
    problem(api.get(f"{JOBS}999/", HTTP_ACCEPT=accept), 404, "not_found")
    problem(api.get(f"{JOBS}999/?format=xml", HTTP_ACCEPT=accept), 404, "not_found")
