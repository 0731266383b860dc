"""`GET /api/v1/me/`."""

from rest_framework.test import APIClient

from qwenedit.users.models import User
from tests.clients import api_client
from tests.factories import give_points

ME = "/api/v1/me/"


def test_tells_alice_who_she_is_and_what_she_has(api: APIClient, alice: User) -> None:
    answer = api.get(ME)
    assert answer.status_code == 200
    assert answer.json() == {
        "id": alice.pk,
        "telegram_id": 1001,
        "username": "alice",
        "language": "en",
        "balance": 60,
    }


def test_the_balance_is_that_of_now(api: APIClient, alice: User) -> None:
    give_points(alice, 15)
    assert api.get(ME).json()["balance"] == 75


def test_an_integrator_has_no_telegram_id(api: APIClient, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(telegram_id=None)
    assert api.get(ME).json()["telegram_id"] is None


def test_bob_is_told_of_bob(bob: User, bob_key: str) -> None:
    assert api_client(bob_key).get(ME).json()["id"] == bob.pk


def test_no_cache_may_keep_it(api: APIClient) -> None:
    assert api.get(ME).headers["Cache-Control"] == "no-store"


def test_head_has_the_headers_and_no_body(api: APIClient) -> None:
    answer = api.head(ME)
    assert (answer.status_code, answer.content) == (200, b"")


def test_options_describe_the_view(api: APIClient) -> None:
    answer = api.options(ME)
    assert answer.status_code == 200
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_the_answer_is_json_whatever_the_client_accepts(api: APIClient) -> None:
    answer = api.get(ME, HTTP_ACCEPT="text/html")
    assert answer.headers["Content-Type"] == "application/json"


def test_the_answer_names_the_request_for_the_logs(api: APIClient) -> None:
    first, second = (api.get(ME).headers["X-Request-ID"] for _ in range(2))
    assert first
    assert first != second
