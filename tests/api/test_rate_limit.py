"""The limit on payment creation: counted before all else, across processes, and closed without a cache."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from rest_framework.test import APIClient

from payments.models import Payment
from qwenedit.users.models import User
from qwenedit.users.services import create_api_key
from tests.api.server import WebServer
from tests.clients import api_client
from tests.servers import YooKassaServer

pytestmark = pytest.mark.django_db(transaction=True)

PAYMENTS = "/api/v1/payments/"
CARD = {"amount": 100, "method": "card"}
Problem = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _two_a_day(settings: Any, yookassa: YooKassaServer) -> None:
    settings.PAYMENT_RATE_LIMIT = "2/d"


def statuses(client: APIClient, count: int, **request: Any) -> list[int]:
    """Ask for `count` payments that can not be made; return the statuses of the answers."""
    return [client.post(PAYMENTS, {}, **request).status_code for _ in range(count)]


def test_one_payment_too_many_is_told_when_to_come_back(
    api: APIClient, alice: User, problem: Problem, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert api.post(PAYMENTS, CARD).status_code == 201
    with caplog.at_level(logging.WARNING):
        answer = api.post(PAYMENTS, CARD)

    body = problem(answer, 429, "rate_limited")
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 86_400
    assert body["detail"] == f"Too many requests. Please try again in {seconds} seconds."
    assert Payment.objects.count() == 2
    assert (
        f"Payment rate limit exceeded: user_id={alice.pk}, ip=127.0.0.1, retry_after={seconds}"
    ) in caplog.text
    assert [record.levelname for record in caplog.records if "rate limit" in record.getMessage()] == [
        "WARNING"
    ]


def test_the_limit_is_five_a_minute_unless_told() -> None:
    from qwenedit import settings

    assert (settings.RATE_LIMIT_ENABLED, settings.PAYMENT_RATE_LIMIT) == (True, "5/m")


def test_it_is_the_users_whatever_key_they_use_and_nobody_elses(
    api: APIClient, alice: User, bob_key: str
) -> None:
    assert statuses(api, 2) == [400, 400]
    assert statuses(api_client(create_api_key(user=alice)[1]), 1) == [429]
    assert statuses(api_client(bob_key), 1) == [400]


def test_reading_is_not_limited(api: APIClient) -> None:
    statuses(api, 3)
    assert api.get(PAYMENTS).status_code == 200


def test_it_can_be_switched_off(api: APIClient, settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = False
    assert statuses(api, 4) == [400] * 4


def test_the_wait_ends_with_the_window(api: APIClient, settings: Any) -> None:
    settings.PAYMENT_RATE_LIMIT = "1/s"
    seen = {answer.status_code: answer for answer in (api.post(PAYMENTS, {}) for _ in range(20))}
    assert seen[429].headers["Retry-After"] == "1"


class TestStrangers:
    """Requests without a valid key are counted by address, before the key is refused."""

    def test_an_address_is_limited(self, problem: Problem) -> None:
        assert statuses(api_client(""), 3) == [401, 401, 429]

    def test_guessed_keys_count_like_none(self, problem: Problem) -> None:
        refused = api_client("qe_guess").post(PAYMENTS, {})
        assert "unknown" in problem(refused, 401, "unauthorized")["detail"]
        assert statuses(api_client("qe_another"), 2) == [401, 429]

    def test_an_address_is_not_a_user(self, api: APIClient) -> None:
        statuses(api_client(""), 3)
        assert statuses(api, 1) == [400]

    def test_the_header_of_a_client_is_not_believed(self) -> None:
        for number, expected in enumerate([401, 401, 429]):
            assert statuses(api_client(""), 1, HTTP_X_FORWARDED_FOR=f"8.8.8.{number}") == [expected]

    def test_behind_proxies_of_ours_each_client_counts(self, settings: Any) -> None:
        settings.TRUSTED_PROXY_COUNT = 1
        assert statuses(api_client(""), 3, HTTP_X_FORWARDED_FOR="9.9.9.9, 8.8.8.8") == [401, 401, 429]
        assert statuses(api_client(""), 1, HTTP_X_FORWARDED_FOR="8.8.8.8, 8.8.4.4") == [401]

    def test_a_network_of_ipv6_is_one_subscriber(self) -> None:
        for number, expected in enumerate([401, 401, 429]):
            assert statuses(api_client(""), 1, REMOTE_ADDR=f"2001:db8::{number}") == [expected]
        assert statuses(api_client(""), 1, REMOTE_ADDR="2001:db8:0:1::1") == [401]


def test_without_a_cache_it_is_closed_and_says_so(
    api: APIClient, problem: Problem, settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = {**settings.CACHES["default"], "LOCATION": f"unix://{tmp_path}/nobody.sock"}
    settings.CACHES = {"default": nowhere}
    with caplog.at_level(logging.ERROR):
        body = problem(api.post(PAYMENTS, CARD), 503, "gateway_unavailable")
    assert "Nothing was charged" in body["detail"]
    assert "the cache does not answer" in caplog.text
    assert not Payment.objects.exists()
    assert api.get(PAYMENTS).status_code == 200


@pytest.mark.processes
def test_several_web_processes_count_together(alice_key: str, yookassa: YooKassaServer) -> None:
    environment = {"PAYMENT_RATE_LIMIT": "3/day", "TRUSTED_PROXY_COUNT": "1"}
    headers = {"Authorization": f"Bearer {alice_key}"}
    with WebServer(**environment) as one, WebServer(**environment) as other:
        answers = [
            requests.post(f"{site.url}{PAYMENTS}", json={}, headers=headers, timeout=30)
            for site in (one, other, one, other)
        ]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    detail = answers[-1].json()["detail"]
    [seconds] = re.findall(r"^Too many requests\. Please try again in (\d+) seconds\.$", detail)
    assert answers[-1].headers["Retry-After"] == seconds
