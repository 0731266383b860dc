"""`Idempotency-Key`: the same request is done once and answered alike, however often it comes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from django.conf import settings

from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.models import LedgerEntry
from qwenedit.users.models import User
from qwenedit.users.services import create_api_key
from tests.api import photos
from tests.api.conftest import JOBS, PROMPT, Submit, upload
from tests.api.server import WebServer
from tests.api.traces import nothing_left, stored_files
from tests.clients import api_client
from tests.factories import PresetFactory, UserFactory, give_points
from tests.threads import at_once

Problem = Callable[..., dict[str, Any]]


def test_the_same_request_again_is_answered_as_before_and_charged_once(submit: Submit, alice: User) -> None:
    first = submit(key="order-17")
    with nothing_left():
        again = submit(key="order-17")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    alice.refresh_from_db()
    assert alice.balance == 30


def test_without_a_key_the_same_request_is_another_edit(submit: Submit) -> None:
    assert submit().json()["id"] != submit().json()["id"]
    assert Job.objects.count() == 2


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_replay_is_given_the_first_answer_however_the_job_fared(
    submit: Submit, status: JobStatus, alice: User
) -> None:
    first = submit(key="k").json()
    finished = {
        "status": status,
        "progress": 100,
        "started_at": alice.date_joined,
        "finished_at": alice.date_joined,
    }
    Job.objects.filter(pk=first["id"]).update(
        **finished, error_code="x", error_message="y", waiting_for_gpu=True
    )
    give_points(alice, 500)
    with nothing_left():
        assert submit(key="k").json() == first


def test_a_replay_needs_no_points_and_no_free_place(submit: Submit, alice: User, settings: Any) -> None:
    first = submit(key="k").json()
    give_points(alice, -30)
    settings.MAX_ACTIVE_JOBS_PER_USER = 1
    with nothing_left():
        assert submit(key="k").json() == first


CHANGES: dict[str, dict[str, Any]] = {
    "another prompt": {"prompt": "make it an oil painting"},
    "a preset": {"preset": "pencil"},
    "a seed": {"seed": "5"},
    "a webhook": {"webhook_url": "https://shop.example/hook"},
    "one photo more": {"image": [0, 1]},
    "another photo": {"image": [1]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_key_with_another_request_is_a_mismatch(
    submit: Submit, problem: Problem, change: dict[str, Any]
) -> None:
    PresetFactory.create(slug="pencil")
    submit(key="k")
    fields = dict(change)
    if "image" in fields:
        fields["image"] = [upload(photos.jpeg(shade)) for shade in fields["image"]]
    with nothing_left():
        problem(submit(key="k", **fields), 409, "idempotency_mismatch")


def test_what_the_file_is_called_makes_no_difference(submit: Submit) -> None:
    first = submit(key="k", image=upload(photos.jpeg(), "one.jpg")).json()
    again = submit(key="k", image=upload(photos.jpeg(), "two.bin", "application/octet-stream")).json()
    assert again == first


def test_two_users_may_use_the_same_key(submit: Submit, bob_key: str) -> None:
    mine = submit(key="k").json()["id"]
    theirs = submit(key="k", client=api_client(bob_key)).json()["id"]
    assert mine != theirs
    assert Job.objects.count() == 2


def test_two_api_keys_of_one_user_are_one_user(submit: Submit, alice: User) -> None:
    other = api_client(create_api_key(user=alice)[1])
    assert submit(key="k").json() == submit(key="k", client=other).json()


def test_a_request_that_was_refused_leaves_its_key_free(submit: Submit, problem: Problem) -> None:
    problem(submit(key="k", image=upload(b"no picture")), 400, "invalid_image")
    assert submit(key="k").status_code == 201


@pytest.mark.parametrize(
    "key", ["k", "x" * 200, "a b/c?d=1&e", "550e8400-e29b-41d4-a716-446655440000", " k "]
)
def test_a_key_is_1_to_200_printable_characters(submit: Submit, key: str) -> None:
    assert submit(key=key).json() == submit(key=key).json()


@pytest.mark.parametrize(
    "key", ["", "   ", "x" * 201, "a\0b", "a\tb", "a\x7fb"], ids=lambda key: ascii(key[:6])
)
def test_a_key_that_is_none_is_refused(submit: Submit, problem: Problem, key: str) -> None:
    with nothing_left():
        answer = submit(key=key)
    body = problem(answer, 400, "invalid_request")
    assert body["errors"] == {"Idempotency-Key": ["The header has 1 to 200 printable characters."]}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def live_site(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    """The site over real HTTP, on each database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("site")
    else:
        with WebServer(DATABASE_URL=request.getfixturevalue("postgres_url")) as server:
            yield server.url


@pytest.mark.processes
class TestAtOnce:
    """A double click: equal requests that the server handles at the same time."""

    def post(self, site: str, key: str, idempotency_key: str, prompt: str = PROMPT) -> requests.Response:
        """Submit an edit over HTTP."""
        return requests.post(
            f"{site}{JOBS}",
            headers={"Authorization": f"Bearer {key}", "Idempotency-Key": idempotency_key},
            files={"image": ("photo.jpg", photos.jpeg(), "image/jpeg")},
            data={"prompt": prompt},
            timeout=60,
        )

    def test_equal_requests_are_one_edit(self, live_site: str) -> None:
        alice = UserFactory.create(balance=300)
        key = create_api_key(user=alice)[1]
        answers = at_once(*[lambda: self.post(live_site, key, "double") for _ in range(6)])
        bodies = [answer.json() for answer in answers if isinstance(answer, requests.Response)]
        assert [answer.status_code for answer in answers if isinstance(answer, requests.Response)] == [
            201
        ] * 6
        assert all(body == bodies[0] for body in bodies)
        assert Job.objects.count() == JobImage.objects.count() == 1
        assert stored_files() == [JobImage.objects.get().file.name]
        assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.EDIT).count() == 1
        alice.refresh_from_db()
        assert alice.balance == 270

    def test_of_different_requests_with_one_key_one_wins(self, live_site: str) -> None:
        alice = UserFactory.create(balance=300)
        key = create_api_key(user=alice)[1]
        prompts = ["make it winter", "make it summer", "make it autumn"]
        answers = at_once(*[lambda p=prompt: self.post(live_site, key, "one", p) for prompt in prompts])
        codes = sorted(answer.status_code for answer in answers if isinstance(answer, requests.Response))
        assert codes == [201, 409, 409]
        assert len(stored_files()) == Job.objects.count() == 1

    def test_points_for_one_edit_buy_one(self, live_site: str) -> None:
        alice = UserFactory.create(balance=settings.EDIT_COST)
        key = create_api_key(user=alice)[1]
        answers = at_once(*[lambda n=number: self.post(live_site, key, f"key-{n}") for number in range(4)])
        codes = sorted(answer.status_code for answer in answers if isinstance(answer, requests.Response))
        assert codes == [201, 402, 402, 402]
        alice.refresh_from_db()
        assert alice.balance == 0
        assert len(stored_files()) == Job.objects.count() == 1
