"""A shop with fiscalization sends right receipts, or is refused."""

from typing import Any

import pytest

from tests.sandbox.yookassa.driving import Client, payment_body, receipt, refund_body


@pytest.fixture
def register(alice: Client) -> Client:
    """Alice's shop with Receipts from YooMoney."""
    alice.server.do("shop", fiscalization="yoo_receipt")
    return alice


def test_a_receipt_is_registered_a_while_after_the_payment(register: Client) -> None:
    payment = register.create(receipt=receipt())
    assert "receipt_registration" not in payment
    paid = register.server.do("pay", payment_id=payment["id"])
    assert paid["receipt_registration"] == "pending"
    register.server.do("advance", seconds=6)
    assert register.payment(payment["id"])["receipt_registration"] == "succeeded"


def test_without_fiscalization_no_receipt_is_looked_at(alice: Client) -> None:
    alice.create(receipt={"items": "?"})
    assert "receipt_registration" not in alice.paid(receipt=receipt())


def test_no_receipt(register: Client) -> None:
    assert register.refused("/payments", payment_body(), "receipt") == "Receipt is missing or illegal"


@pytest.mark.parametrize(
    ("item", "parameter"),
    [
        ({"amount": {"value": "99.99", "currency": "RUB"}}, "receipt"),
        ({"quantity": 2}, "receipt"),
        ({"quantity": 0}, "receipt.items.quantity"),
        ({"quantity": "many"}, "receipt.items.quantity"),
        ({"quantity": 1.0001}, "receipt.items.quantity"),
        ({"quantity": "Infinity"}, "receipt.items.quantity"),
        ({"quantity": True}, "receipt.items.quantity"),
        ({"amount": {"value": "100", "currency": "RUB"}}, "receipt.items.amount.value"),
        ({"amount": {"value": "100.00", "currency": "USD"}}, "receipt.items.amount"),
        ({"vat_code": 0}, "receipt.items.vat_code"),
        ({"vat_code": 13}, "receipt.items.vat_code"),
        ({"vat_code": None}, "receipt.items.vat_code"),
        ({"description": ""}, "receipt.items.description"),
        ({"description": "x" * 129}, "receipt.items.description"),
        ({"measure": None}, "receipt.items.measure"),
        ({"measure": "bucket"}, "receipt.items.measure"),
        ({"payment_subject": "favour"}, "receipt.items.payment_subject"),
        ({"payment_mode": "later"}, "receipt.items.payment_mode"),
    ],
)
def test_a_wrong_item(register: Client, item: dict[str, Any], parameter: str) -> None:
    register.refused("/payments", payment_body(receipt=receipt(**item)), parameter)


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"customer": None}, "receipt.customer"),
        ({"customer": {}}, "receipt.customer.email"),
        ({"customer": {"phone": "79000000000"}}, "receipt.customer.email"),
        ({"customer": {"email": "nobody"}}, "receipt.customer.email"),
        ({"customer": {"email": "a@b.ru", "phone": "call me"}}, "receipt.customer.phone"),
        ({"items": []}, "receipt.items"),
        ({"items": ["points"]}, "receipt.items"),
        ({"items": receipt("1.00")["items"] * 81}, "receipt.items"),
        ({"tax_system_code": 7}, "receipt.tax_system_code"),
    ],
)
def test_a_wrong_receipt(register: Client, changes: dict[str, Any], parameter: str) -> None:
    register.refused("/payments", payment_body(receipt=receipt() | changes), parameter)


def test_a_register_of_another_provider_is_content_with_a_phone_and_no_measure(alice: Client) -> None:
    alice.server.do("shop", fiscalization="atol")
    alice.create(receipt=receipt(measure=None) | {"customer": {"phone": "79000000000"}})


def test_quantities_count(register: Client) -> None:
    register.create("100.50", receipt=receipt("33.50", quantity="3.0"))
    register.create("1.35", receipt=receipt("1.00", quantity=1.345))


def test_a_partial_refund_needs_a_receipt_and_a_full_one_does_not(register: Client) -> None:
    payment = register.paid(receipt=receipt())
    text = register.refused("/refunds", refund_body(payment["id"], "40.00"), "receipt")
    assert text == "Receipt is missing or illegal"
    wrong = refund_body(payment["id"], "40.00", receipt=receipt("50.00"))
    register.refused("/refunds", wrong, "receipt")
    part = register.refund(payment["id"], "40.00", receipt=receipt("40.00"))
    assert part["receipt_registration"] == "pending"
    register.server.do("settle_receipt", refund_id=part["id"], status="canceled")
    assert register.refund_by_id(part["id"])["receipt_registration"] == "canceled"
    register.refund(register.paid(receipt=receipt())["id"])


def test_a_partial_capture_needs_a_receipt(register: Client) -> None:
    held = register.paid(receipt=receipt(), capture=False)
    body: dict[str, Any] = {"amount": {"value": "60.00", "currency": "RUB"}}
    register.refused(f"/payments/{held['id']}/capture", body, "receipt")
    body["receipt"] = receipt("60.00")
    assert register.post(f"/payments/{held['id']}/capture", body).json()["status"] == "succeeded"


def test_registration_can_fail_or_never_end(register: Client) -> None:
    register.server.do("receipt_mode", mode="canceled", seconds=60)
    failing = register.paid(receipt=receipt())
    register.server.do("receipt_mode", mode="pending")
    waiting = register.paid(receipt=receipt())
    register.server.do("advance", seconds=4 * 86_400)
    assert register.payment(failing["id"])["receipt_registration"] == "canceled"
    assert register.payment(waiting["id"])["receipt_registration"] == "pending"
    register.server.do("settle_receipt", payment_id=waiting["id"])
    assert register.payment(waiting["id"])["receipt_registration"] == "succeeded"
