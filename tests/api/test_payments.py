"""`payments/`: a top-up from the request to the page that the buyer comes back to."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from payments import standing
from payments.models import Payment, PaymentStatus
from payments.return_addresses import signature_of
from payments.services import check_payment
from qwenedit.users.models import Scope, User
from qwenedit.users.services import create_api_key
from tests.clients import api_client
from tests.factories import PaymentFactory
from tests.servers import YooKassaServer

pytestmark = pytest.mark.django_db(transaction=True)

PAYMENTS = "/api/v1/payments/"
Problem = Callable[..., dict[str, Any]]
CARD = {"amount": 100, "method": "card"}


@pytest.fixture(autouse=True)
def _without_limits(settings: Any, yookassa: YooKassaServer) -> None:
    settings.RATE_LIMIT_ENABLED = False


def started(api: APIClient, **fields: Any) -> Payment:
    """Start a top-up over the API, 100 rubles by card unless told."""
    answer = api.post(PAYMENTS, CARD | fields)
    assert answer.status_code == 201, answer.content
    return Payment.objects.get(pk=answer.json()["id"])


def test_a_top_up_is_answered_with_where_to_pay(
    api: APIClient, yookassa: YooKassaServer, alice: User
) -> None:
    answer = api.post(PAYMENTS, CARD)
    assert answer.status_code == 201
    payment = Payment.objects.get()
    assert answer.json() == {
        "id": payment.pk,
        "status": "pending",
        "amount": 100,
        "points": 1000,
        "confirmation_url": payment.confirmation_url,
    }
    assert payment.confirmation_url.startswith(f"{yookassa.url}/")
    assert (payment.user, payment.amount, payment.method) == (alice, 10_000, "card")


def test_a_payment_is_followed_to_its_end(api: APIClient, yookassa: YooKassaServer) -> None:
    payment = started(api, method="sbp")
    address = f"{PAYMENTS}{payment.pk}/"
    pending = api.get(address).json()
    assert (pending["status"], pending["finished_at"], pending["error"]) == ("pending", None, "")

    yookassa.do("pay", payment_id=payment.gateway_id)
    check_payment(payment)

    body = api.get(address).json()
    assert body == pending | {"status": "succeeded", "finished_at": body["finished_at"]}
    assert body["finished_at"] is not None
    assert (body["amount"], body["points"], body["method"]) == (100, 1000, "sbp")


def test_one_that_failed_says_why(api: APIClient, yookassa: YooKassaServer) -> None:
    payment = started(api)
    yookassa.do("decline", payment_id=payment.gateway_id)
    check_payment(payment)
    body = api.get(f"{PAYMENTS}{payment.pk}/").json()
    assert (body["status"], body["error"]) == ("canceled", "insufficient_funds")


def test_the_list_has_your_own_newest_first_in_pages(api: APIClient, alice: User, bob: User) -> None:
    PaymentFactory.create(user=bob)
    mine = [PaymentFactory.create(user=alice).pk for _ in range(3)]
    page = api.get(PAYMENTS, {"page_size": 2}).json()
    assert [payment["id"] for payment in page["results"]] == mine[:0:-1]
    rest = api.get(page["next"]).json()
    assert [payment["id"] for payment in rest["results"]] == mine[:1]


def test_stars_are_shown_as_they_are(api: APIClient, alice: User) -> None:
    PaymentFactory.create(user=alice, gateway="stars", method="stars", currency="XTR", amount=50)
    [body] = api.get(PAYMENTS).json()["results"]
    assert (body["amount"], body["method"], body["confirmation_url"]) == (50, "stars", "")


def test_only_the_owner_sees_it(api: APIClient, bob_key: str, problem: Problem) -> None:
    payment = started(api)
    problem(api_client(bob_key).get(f"{PAYMENTS}{payment.pk}/"), 404, "not_found")
    problem(api_client("").get(f"{PAYMENTS}{payment.pk}/"), 401, "unauthorized")
    assert api_client(bob_key).get(PAYMENTS).json()["results"] == []


def test_a_key_needs_the_scope_to_pay(alice: User, problem: Problem) -> None:
    key = create_api_key(user=alice, scopes=[Scope.READ, Scope.EDIT])[1]
    problem(api_client(key).post(PAYMENTS, CARD), 403, "forbidden")
    problem(api_client("").post(PAYMENTS, CARD), 401, "unauthorized")
    problem(api_client("qe_unknown").post(PAYMENTS, CARD), 401, "unauthorized")
    assert api_client(key).get(PAYMENTS).status_code == 200
    assert not Payment.objects.exists()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": 10_001}, "amount"),
        ({"amount": 10**30}, "amount"),
        ({"amount": 99.5}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": "a lot"}, "amount"),
        ({"method": "cash"}, "method"),
        ({"method": "stars"}, "method"),
        ({"method": None}, "method"),
        ({"email": "nobody"}, "email"),
        ({"email": "a\0@b.example"}, "email"),
    ],
)
def test_what_can_not_be_paid_is_refused_by_field(
    api: APIClient, problem: Problem, fields: dict[str, Any], wrong: str
) -> None:
    body = problem(api.post(PAYMENTS, CARD | fields), 400, "invalid_request")
    assert list(body["errors"]) == [wrong]
    assert not Payment.objects.exists()


def test_the_limits_and_the_receipt_are_the_installations(
    api: APIClient, problem: Problem, settings: Any
) -> None:
    settings.PAYMENT_MIN_AMOUNT, settings.PAYMENT_MAX_AMOUNT = 50, 60
    assert "50 to 60" in problem(api.post(PAYMENTS, CARD), 400, "invalid_request")["detail"]
    settings.RECEIPT_REQUIRED = True
    fields = {"amount": 50, "method": "card"}
    assert "email" in problem(api.post(PAYMENTS, fields), 400, "invalid_request")["errors"]
    assert api.post(PAYMENTS, fields | {"email": "alice@shop.example"}).status_code == 201


class TestIdempotency:
    """The same key and body are one payment."""

    def test_the_same_request_is_given_the_first_answer(
        self, api: APIClient, yookassa: YooKassaServer
    ) -> None:
        first = api.post(PAYMENTS, CARD, HTTP_IDEMPOTENCY_KEY="top-up")
        payment = Payment.objects.get()
        yookassa.do("pay", payment_id=payment.gateway_id)
        check_payment(payment)
        again = api.post(PAYMENTS, CARD, HTTP_IDEMPOTENCY_KEY="top-up")
        assert (again.status_code, again.json()) == (201, first.json())
        assert len(yookassa.requests_seen(method="POST")) == 1

    def test_another_request_under_the_key_is_refused(self, api: APIClient, problem: Problem) -> None:
        api.post(PAYMENTS, CARD, HTTP_IDEMPOTENCY_KEY="top-up")
        another = api.post(PAYMENTS, CARD | {"amount": 200}, HTTP_IDEMPOTENCY_KEY="top-up")
        problem(another, 409, "idempotency_mismatch")
        problem(api.post(PAYMENTS, CARD, HTTP_IDEMPOTENCY_KEY="k" * 201), 400, "invalid_request")
        assert Payment.objects.count() == 1

    def test_after_an_unknown_outcome_the_same_request_takes_up_where_it_stopped(
        self, api: APIClient, yookassa: YooKassaServer, problem: Problem
    ) -> None:
        yookassa.do("fault", fault="drop", processed=True)
        lost = api.post(PAYMENTS, CARD, HTTP_IDEMPOTENCY_KEY="top-up")
        assert "answer" in problem(lost, 503, "gateway_unavailable")["detail"]
        again = api.post(PAYMENTS, CARD, HTTP_IDEMPOTENCY_KEY="top-up")
        assert again.status_code == 201
        assert again.json()["confirmation_url"]
        assert sum(yookassa.do("clear_faults")["payments"].values()) == 1


def test_a_refusal_of_the_gateway_is_told_without_its_details(
    api: APIClient, yookassa: YooKassaServer, problem: Problem
) -> None:
    yookassa.do("fault", fault="forbidden")
    body = problem(api.post(PAYMENTS, CARD), 502, "gateway_rejected")
    assert yookassa.url not in str(body)
    assert Payment.objects.get().status == PaymentStatus.REJECTED


class TestTheReturnPage:
    """Where the buyer comes back to."""

    @pytest.fixture
    def payment(self, api: APIClient) -> Payment:
        """A top-up that waits for its buyer."""
        return started(api)

    @staticmethod
    def address(payment: Payment) -> str:
        """Return where the gateway sends the buyer of a payment back to."""
        url: str = payment.body["confirmation"]["return_url"]
        return url

    def visit(self, payment: Payment, language: str = "en") -> tuple[str, str]:
        """Come back; return where the page says the payment stands, and the page."""
        parts = urlsplit(self.address(payment))
        answer = Client().get(f"{parts.path}?{parts.query}", headers={"Accept-Language": language})
        assert answer.status_code == 200
        page = answer.content.decode()
        [said] = re.findall(r'data-standing="(\w+)"', page)
        return said, page

    def test_the_gateway_is_given_its_signed_address(self, payment: Payment, settings: Any) -> None:
        parts = urlsplit(self.address(payment))
        assert f"{parts.scheme}://{parts.netloc}" == "http://testserver"
        assert parts.path == f"/payments/{payment.pk}/return/" == reverse("payment-return", args=[payment.pk])
        assert parse_qs(parts.query) == {"signature": [signature_of(payment.pk)]}

    def test_behind_a_proxy_the_public_address_is_given(self, api: APIClient, settings: Any) -> None:
        settings.PUBLIC_URL = "https://edit.example"
        assert self.address(started(api)).startswith("https://edit.example/payments/")

    def test_a_paid_payment_is_credited_by_the_page_itself(
        self, payment: Payment, yookassa: YooKassaServer, alice: User
    ) -> None:
        said, page = self.visit(payment)
        assert said == "pending"
        assert 'http-equiv="refresh"' in page
        yookassa.do("pay", payment_id=payment.gateway_id)

        said, page = self.visit(payment)

        assert said == "succeeded"
        assert "Points added: 1000." in page
        assert "refresh" not in page
        assert "alice" not in page.lower()
        alice.refresh_from_db()
        assert alice.balance == 1060

    def test_one_that_was_not_paid_says_so(self, payment: Payment, yookassa: YooKassaServer) -> None:
        yookassa.do("expire", payment_id=payment.gateway_id)
        assert self.visit(payment)[0] == "failed"
        yookassa.do("pay", payment_id=payment.gateway_id, late=True)
        assert self.visit(payment)[0] == "succeeded", "a link can be paid late"

    def test_while_the_gateway_fails_it_is_being_checked(
        self, payment: Payment, yookassa: YooKassaServer
    ) -> None:
        yookassa.do("fault", fault="bad_gateway", method="GET")
        said, page = self.visit(payment)
        assert said == "checking"
        assert "refresh" in page
        assert self.visit(payment)[0] == "pending"

    def test_a_gateway_that_hangs_does_not_hang_the_page(
        self, payment: Payment, yookassa: YooKassaServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(standing, "PATIENCE", 0.2)
        yookassa.do("fault", fault="hang", method="GET", seconds=2.0)
        assert self.visit(payment)[0] == "checking"

    def test_it_speaks_the_visitors_language(self, payment: Payment, yookassa: YooKassaServer) -> None:
        yookassa.do("pay", payment_id=payment.gateway_id)
        russian = self.visit(payment, "ru-RU,ru;q=0.9,en;q=0.8")[1]
        assert "Начислено баллов: 1000." in russian
        assert '<html lang="ru">' in russian
        assert '<html lang="en">' in self.visit(payment, "de")[1]

    def test_a_number_alone_shows_nothing(self, payment: Payment) -> None:
        path = reverse("payment-return", args=[payment.pk])
        for query in ("", "?signature=", f"?signature={signature_of(payment.pk + 1)}", "?signature=%00ы"):
            assert Client().get(path + query).status_code == 404
        unknown = reverse("payment-return", args=[payment.pk + 1])
        assert Client().get(f"{unknown}?signature={signature_of(payment.pk + 1)}").status_code == 404
        assert Client().get(f"/payments/{10**30}/return/").status_code == 404
