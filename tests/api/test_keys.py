"""Who may ask: keys, their scopes, and what happens without one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from jobs.states import JobStatus
from qwenedit.users.models import ApiKey, Scope, User
from qwenedit.users.services import create_api_key
from tests.api.conftest import JOBS, Submit
from tests.api.traces import nothing_left
from tests.clients import api_client
from tests.factories import JobFactory

Problem = Callable[..., dict[str, Any]]
ME = "/api/v1/me/"
ADDRESSES = [ME, "/api/v1/me/ledger/", "/api/v1/presets/", JOBS, f"{JOBS}1/", f"{JOBS}1/result/"]


def key_with(user: User, *scopes: Scope) -> APIClient:
    """Return a client whose key has exactly these scopes."""
    return api_client(create_api_key(user=user, scopes=list(scopes))[1])


def with_header(value: str) -> APIClient:
    """Return a client that sends this Authorization header."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=value)
    return client


def test_a_key_opens_the_api(api: APIClient) -> None:
    assert api.get(ME).status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.django_db
def test_without_a_key_nothing_is_told(problem: Problem, address: str) -> None:
    answer = APIClient().get(address)
    problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.django_db
def test_without_a_key_nothing_is_done(problem: Problem, alice: User, submit: Submit) -> None:
    job = JobFactory.create(user=alice)
    with nothing_left():
        problem(submit(client=APIClient()), 401, "unauthorized")
        problem(APIClient().post(f"{JOBS}{job.pk}/cancel/"), 401, "unauthorized")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer qe_" + "x" * 43,
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer é",
        "Bearer \x00",
        "Basic YTpi",
        "Token x",
        "bearer" + "x" * 4000,
    ],
    ids=lambda text: ascii(text[:16]),
)
def test_a_header_without_a_known_key_is_refused(alice_key: str, problem: Problem, header: str) -> None:
    answer = with_header(header).get(ME)
    problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_scheme_is_written_in_any_case(alice_key: str) -> None:
    assert with_header(f"bearer {alice_key}").get(ME).status_code == 200


def test_a_key_is_compared_in_full(alice_key: str, problem: Problem) -> None:
    problem(api_client(alice_key[:-1]).get(ME), 401, "unauthorized")
    problem(api_client(alice_key.upper()).get(ME), 401, "unauthorized")


def test_a_revoked_key_is_refused(api: APIClient, alice: User, submit: Submit, problem: Problem) -> None:
    ApiKey.objects.filter(user=alice).update(revoked_at=timezone.now())
    with nothing_left():
        problem(api.get(ME), 401, "unauthorized")
        problem(submit(), 401, "unauthorized")


def test_a_key_that_is_refused_is_told_nothing_of_a_job(
    api: APIClient, alice: User, alice_key: str, problem: Problem
) -> None:
    job = JobFactory.create(user=alice, prompt="nobody else's words")
    assert api.get(f"{JOBS}{job.pk}/").status_code == 200

    for number in (job.pk, job.pk + 1):
        refused = api_client(alice_key[:-1]).get(f"{JOBS}{number}/")
        problem(refused, 401, "unauthorized")
        assert b"words" not in refused.content
    ApiKey.objects.filter(user=alice).update(revoked_at=timezone.now())
    problem(api.get(f"{JOBS}{job.pk}/"), 401, "unauthorized")


@pytest.mark.postgres
def test_a_job_is_asked_for_in_the_message_that_asks_whose_key_it_is(api: APIClient, alice: User) -> None:
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    address = f"{JOBS}{job.pk}/"
    api.get(address)  # which notes that the key was used

    with CaptureQueriesContext(connection) as queries:
        assert api.get(address).status_code == 200

    [message, images] = [query["sql"] for query in queries]
    assert "users_apikey" in message
    assert "jobs_job" in message
    assert "jobs_jobimage" in images


@pytest.mark.parametrize("fault", [{"is_blocked": True}, {"is_active": False}])
def test_a_blocked_account_has_no_usable_key(
    api: APIClient, alice: User, submit: Submit, problem: Problem, fault: dict[str, bool]
) -> None:
    User.objects.filter(pk=alice.pk).update(**fault)
    with nothing_left():
        problem(api.get(ME), 401, "unauthorized")
        problem(submit(), 401, "unauthorized")


def test_a_revoked_key_looks_like_one_that_never_was(api: APIClient, alice: User) -> None:
    unknown = api_client("qe_nonsense").get(ME)
    ApiKey.objects.filter(user=alice).update(revoked_at=timezone.now())
    assert api.get(ME).json() == unknown.json()


def test_a_key_to_read_reads_and_changes_nothing(alice: User, submit: Submit, problem: Problem) -> None:
    client = key_with(alice, Scope.READ)
    job = JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    queued = JobFactory.create(user=alice)
    for address in (
        ME,
        "/api/v1/me/ledger/",
        "/api/v1/presets/",
        JOBS,
        f"{JOBS}{job.pk}/",
        f"{JOBS}{job.pk}/result/",
    ):
        assert client.get(address).status_code == 200
    with nothing_left():
        assert "edit" in problem(submit(client=client), 403, "forbidden")["detail"]
        problem(client.post(f"{JOBS}{queued.pk}/cancel/"), 403, "forbidden")


def test_a_key_to_edit_submits_and_cancels_and_reads_nothing(
    alice: User, submit: Submit, problem: Problem
) -> None:
    client = key_with(alice, Scope.EDIT)
    job_id = submit(client=client).json()["id"]
    assert client.post(f"{JOBS}{job_id}/cancel/").status_code == 200
    for address in (ME, "/api/v1/me/ledger/", "/api/v1/presets/", JOBS, f"{JOBS}{job_id}/"):
        assert "read" in problem(client.get(address), 403, "forbidden")["detail"]


def test_a_key_to_pay_does_neither(alice: User, submit: Submit, problem: Problem) -> None:
    client = key_with(alice, Scope.PAY)
    problem(client.get(ME), 403, "forbidden")
    with nothing_left():
        problem(submit(client=client), 403, "forbidden")


def test_the_last_use_is_recorded_at_most_once_a_minute(api: APIClient, alice: User) -> None:
    key = ApiKey.objects.get(user=alice)
    assert key.last_used_at is None
    with time_machine.travel(timezone.now(), tick=False) as clock:
        api.get(ME)
        key.refresh_from_db()
        first = key.last_used_at
        assert first == timezone.now()
        clock.shift(timedelta(seconds=59))
        api.get(ME)
        key.refresh_from_db()
        assert key.last_used_at == first
        clock.shift(timedelta(seconds=2))
        api.get(ME)
        key.refresh_from_db()
        assert key.last_used_at == timezone.now()


def test_the_admins_session_is_no_key(client: Any, problem: Problem, alice: User) -> None:
    client.force_login(alice)
    problem(client.get(ME), 401, "unauthorized")
