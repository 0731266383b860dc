"""`promocodes/redeem/`: a word becomes points."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from payments.models import PromoCode
from qwenedit.users.models import Scope, User
from qwenedit.users.services import create_api_key
from tests.clients import api_client

pytestmark = pytest.mark.django_db

REDEEM = "/api/v1/promocodes/redeem/"
Problem = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _promo() -> None:
    PromoCode.objects.create(code="WINTER", points=25)


def test_a_code_is_redeemed_whatever_its_case(api: APIClient, alice: User) -> None:
    answer = api.post(REDEEM, {"code": " winter "})
    assert (answer.status_code, answer.json()) == (200, {"points": 25, "balance": 85})
    alice.refresh_from_db()
    assert alice.balance == 85


def test_a_second_time_is_a_conflict(api: APIClient, problem: Problem) -> None:
    api.post(REDEEM, {"code": "WINTER"})
    problem(api.post(REDEEM, {"code": "WINTER"}), 409, "conflict")


@pytest.mark.parametrize("code", ["SUMMER", "", None, "X" * 41, "A\0B", 7, ["WINTER"]])
def test_what_is_no_code_is_refused(api: APIClient, problem: Problem, code: Any) -> None:
    assert "code" in problem(api.post(REDEEM, {"code": code}), 400, "invalid_request")["errors"]


def test_half_a_character_is_no_code(api: APIClient, problem: Problem) -> None:
    answer = api.post(REDEEM, rb'{"code": "\ud800"}', content_type="application/json")
    assert "code" in problem(answer, 400, "invalid_request")["errors"]


def test_a_key_needs_the_scope_to_pay(alice: User, problem: Problem) -> None:
    key = create_api_key(user=alice, scopes=[Scope.READ, Scope.EDIT])[1]
    problem(api_client(key).post(REDEEM, {"code": "WINTER"}), 403, "forbidden")
    problem(api_client("").post(REDEEM, {"code": "WINTER"}), 401, "unauthorized")


def test_guessing_is_limited(api: APIClient, problem: Problem, settings: Any) -> None:
    settings.PROMO_RATE_LIMIT = "3/d"
    for guess in ("ONE", "TWO", "THREE"):
        problem(api.post(REDEEM, {"code": guess}), 400, "invalid_request")
    answer = api.post(REDEEM, {"code": "WINTER"})
    seconds = int(answer.headers["Retry-After"])
    detail = problem(answer, 429, "rate_limited")["detail"]
    assert detail == f"Too many requests. Please try again in {seconds} seconds."
    assert not PromoCode.objects.get().uses
