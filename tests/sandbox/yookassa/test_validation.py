"""What YooKassa would refuse is refused, and the parameter named."""

from typing import Any

import pytest
import requests

from tests.sandbox.yookassa.driving import RETURN_URL, Client, new_key, payment_body

REDIRECT = {"type": "redirect", "return_url": RETURN_URL}


def test_everything_at_its_limit_is_accepted(alice: Client) -> None:
    payment = alice.create(
        "700000.00",
        description="я" * 128,
        metadata={"k" * 32: "v" * 512, **{str(number): "" for number in range(15)}},
        merchant_customer_id="c" * 200,
        confirmation={"type": "redirect", "return_url": "https://shop.example/" + "u" * 2027},
        payment_method_data={"type": "sbp"},
        statements=[],
        transfers=[],
    )
    assert payment["amount"]["value"] == "700000.00"


@pytest.mark.parametrize(
    ("value", "currency", "parameter"),
    [
        ("100", "RUB", "amount.value"),
        ("100.0", "RUB", "amount.value"),
        ("100.000", "RUB", "amount.value"),
        ("100,00", "RUB", "amount.value"),
        ("1 000.00", "RUB", "amount.value"),
        ("-1.00", "RUB", "amount.value"),
        ("0.00", "RUB", "amount.value"),
        ("0.99", "RUB", "amount.value"),
        ("1e2", "RUB", "amount.value"),
        ("٣.00", "RUB", "amount.value"),
        ("", "RUB", "amount.value"),
        (100.0, "RUB", "amount.value"),
        (None, "RUB", "amount.value"),
        ("700000.01", "RUB", "amount.value"),
        ("100.00", "XTR", "amount.currency"),
        ("100.00", "USD", "amount.currency"),
        ("100.00", None, "amount.currency"),
    ],
)
def test_a_wrong_amount(alice: Client, value: object, currency: object, parameter: str) -> None:
    amount = {"value": value, "currency": currency}
    alice.refused("/payments", payment_body(amount=amount), parameter)


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"amount": None}, "amount"),
        ({"amount": "100.00"}, "amount"),
        ({"capture": "true"}, "capture"),
        ({"description": "я" * 129}, "description"),
        ({"description": 7}, "description"),
        ({"merchant_customer_id": "c" * 201}, "merchant_customer_id"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"k" * 33: ""}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {"k": 7}}, "metadata.k"),
        ({"metadata": []}, "metadata"),
        ({"confirmation": None}, "confirmation"),
        ({"confirmation": {"return_url": RETURN_URL}}, "confirmation.type"),
        ({"confirmation": {"type": "telepathy"}}, "confirmation.type"),
        ({"confirmation": {"type": "redirect"}}, "confirmation.return_url"),
        ({"confirmation": REDIRECT | {"return_url": "h" * 2049}}, "confirmation.return_url"),
        ({"confirmation": REDIRECT | {"return_url": "shop"}}, "confirmation.return_url"),
        ({"confirmation": REDIRECT | {"return_url": "http://["}}, "confirmation.return_url"),
        ({"confirmation": REDIRECT | {"return_url": "javascript:alert(1)"}}, "confirmation.return_url"),
        ({"confirmation": REDIRECT | {"enforce": "yes"}}, "confirmation.enforce"),
        ({"payment_method_data": {"type": "barter"}}, "payment_method_data.type"),
        ({"payment_method_data": {}}, "payment_method_data.type"),
        ({"payment_method_data": {"type": "sber_loan"}}, "payment_method_data.type"),
        ({"payment_method_data": {"type": "sbp"}, "capture": False}, "capture"),
        ({"payment_token": "x"}, "payment_token"),
    ],
)
def test_a_wrong_field(alice: Client, changes: dict[str, Any], parameter: str) -> None:
    alice.refused("/payments", payment_body(**changes), parameter)
    assert alice.payments()["items"] == []


def test_a_card_takes_less_than_sbp(alice: Client) -> None:
    card = {"type": "bank_card"}
    alice.create("350000.00", payment_method_data=card)
    alice.refused("/payments", payment_body("350000.01", payment_method_data=card), "amount.value")


@pytest.mark.parametrize("changes", [{"save_payment_method": True}, {"payment_method_id": "x"}])
def test_recurring_payments_are_forbidden(alice: Client, changes: dict[str, Any]) -> None:
    assert "recurring" in alice.refused("/payments", payment_body(**changes), "", status=403)


@pytest.mark.parametrize(
    ("key", "description"),
    [
        (None, "Idempotence key is empty"),
        ("k" * 65, "Idempotence key is too long"),
        ("ключ".encode().decode("latin-1"), "Invalid parameter's value"),
        ("a b", "Invalid parameter's value"),
    ],
)
def test_a_wrong_idempotence_key(alice: Client, key: str | None, description: str) -> None:
    for path in ("/payments", "/refunds", "/payments/x/capture", "/payments/x/cancel"):
        answer = alice.post(path, payment_body(), key)
        assert answer.status_code == 400
        assert answer.json()["parameter"] == "Idempotence-Key"
        assert answer.json()["description"].startswith(description)


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [(b"{", "application/json", 400), (b"[]", "application/json", 400), (b"{}", "text/plain", 415)],
)
def test_what_is_no_json_object_is_refused(
    alice: Client, data: bytes, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type, "Idempotence-Key": new_key()}
    url = alice.server.api_url + "/payments"
    assert requests.post(url, data=data, headers=headers, auth=alice.auth, timeout=10).status_code == status


@pytest.mark.parametrize("auth", [None, ("sandbox", "wrong"), ("wrong", "sandbox"), ("sandbox", "")])
def test_wrong_credentials_are_refused(alice: Client, auth: tuple[str, str] | None) -> None:
    alice.auth = auth  # type: ignore[assignment]
    for answer in (alice.get("/me"), alice.get("/nothing"), alice.post("/payments", payment_body())):
        assert answer.status_code == 401
    token = {"Authorization": "Bearer sandbox"}
    assert requests.get(alice.server.api_url + "/me", headers=token, timeout=10).status_code == 401
