"""A shop that drives the sandbox by plain HTTP and checks the shape of every answer."""

import itertools
import uuid
from typing import Any

import requests

from tests.sandbox.yookassa import shapes
from tests.servers import YooKassaServer

RETURN_URL = "https://shop.example/return?order=7"
_numbers = itertools.count()


def new_key() -> str:
    return str(uuid.uuid4())


def payment_body(value: str = "100.00", **changes: Any) -> dict[str, Any]:
    """Return a body of POST /payments; a change to None leaves the field out."""
    body: dict[str, Any] = {
        "amount": {"value": value, "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": RETURN_URL},
        "description": "Пополнение баланса",
        "metadata": {"topup_id": str(next(_numbers))},
        **changes,
    }
    return {name: field for name, field in body.items() if field is not None}


def receipt(value: str = "100.00", **item: Any) -> dict[str, Any]:
    """Return a receipt of one item, with changes to that item."""
    line: dict[str, Any] = {
        "description": "Баллы",
        "quantity": 1,
        "amount": {"value": value, "currency": "RUB"},
        "vat_code": 1,
        "measure": "piece",
        "payment_subject": "service",
        "payment_mode": "full_payment",
        **item,
    }
    return {"customer": {"email": "user@example.com"}, "items": [line]}


class Client:
    """One shop. `post` and `get` return answers, everything else a body whose shape was checked."""

    def __init__(self, server: YooKassaServer) -> None:
        self.server = server
        self.auth = ("sandbox", "sandbox")

    def post(
        self, path: str, body: Any = None, key: str | None = "", timeout: float = 10
    ) -> requests.Response:
        """Send a POST; an empty key is replaced by a new one, None is left out."""
        headers = {} if key is None else {"Idempotence-Key": key or new_key()}
        url = self.server.api_url + path
        return self._check(requests.post(url, json=body, headers=headers, auth=self.auth, timeout=timeout))

    def get(self, path: str, **query: Any) -> requests.Response:
        """Send a GET; `created_at__gte` stands for created_at.gte."""
        params = {name.replace("__", "."): value for name, value in query.items()}
        return self._check(
            requests.get(self.server.api_url + path, params=params, auth=self.auth, timeout=10)
        )

    def create(self, value: str = "100.00", key: str = "", **changes: Any) -> dict[str, Any]:
        payment = _ok(self.post("/payments", payment_body(value, **changes), key))
        shapes.check_payment(payment)
        return payment

    def paid(self, value: str = "100.00", method: str = "bank_card", **changes: Any) -> dict[str, Any]:
        """Create a payment and pay it."""
        payment = self.server.do("pay", payment_id=self.create(value, **changes)["id"], method=method)
        shapes.check_payment(payment)
        return payment

    def payment(self, payment_id: str) -> dict[str, Any]:
        payment = _ok(self.get(f"/payments/{payment_id}"))
        shapes.check_payment(payment)
        return payment

    def refund(self, payment_id: str, value: str = "100.00", key: str = "", **changes: Any) -> dict[str, Any]:
        refund = _ok(self.post("/refunds", refund_body(payment_id, value, **changes), key))
        shapes.check_refund(refund)
        return refund

    def refund_by_id(self, refund_id: str) -> dict[str, Any]:
        refund = _ok(self.get(f"/refunds/{refund_id}"))
        shapes.check_refund(refund)
        return refund

    def payments(self, **query: Any) -> dict[str, Any]:
        body = _ok(self.get("/payments", **query))
        shapes.check_list(body, shapes.check_payment)
        return body

    def refunds(self, **query: Any) -> dict[str, Any]:
        body = _ok(self.get("/refunds", **query))
        shapes.check_list(body, shapes.check_refund)
        return body

    def refused(self, path: str, body: Any, parameter: str, status: int = 400) -> str:
        """Send a POST that must be refused because of a parameter; return the description."""
        answer = self.post(path, body)
        assert answer.status_code == status, answer.text
        assert answer.json().get("parameter", "") == parameter
        description: str = answer.json()["description"]
        return description

    def _check(self, answer: requests.Response) -> requests.Response:
        if answer.status_code >= 400 and answer.headers.get("Content-Type", "").startswith(
            "application/json"
        ):
            shapes.check_error(answer.json(), answer.status_code)
        return answer


def refund_body(payment_id: str, value: str = "100.00", **changes: Any) -> dict[str, Any]:
    return {"payment_id": payment_id, "amount": {"value": value, "currency": "RUB"}, **changes}


def _ok(answer: requests.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body
