"""A payment: paid, declined, expired, captured, cancelled; and how it looks at every moment."""

import pytest

from tests.sandbox.yookassa.driving import RETURN_URL, Client, payment_body, receipt
from tests.servers import YooKassaServer

COMMON = {
    "id", "status", "amount", "recipient", "created_at", "test", "paid", "refundable", "metadata",
}  # fmt: skip
PENDING_EXAMPLE = COMMON | {"description", "confirmation"}
CANCELED_EXAMPLE = COMMON | {"cancellation_details"}
SUCCEEDED_EXAMPLE = COMMON | {
    "description", "income_amount", "payment_method", "captured_at", "refunded_amount",
    "receipt_registration",
}  # fmt: skip
REFUND_EXAMPLE = {
    "id", "payment_id", "status", "receipt_registration", "created_at", "amount", "description",
}  # fmt: skip


def test_a_card_pays(alice: Client) -> None:
    pending = alice.create("299.00", description="Заказ 7", merchant_customer_id="42")
    assert pending["confirmation"] == {
        "type": "redirect",
        "return_url": RETURN_URL,
        "confirmation_url": f"{alice.server.url}/checkout/{pending['id']}",
    }
    assert pending["recipient"]["account_id"] == "sandbox"
    paid = alice.server.do("pay", payment_id=pending["id"])
    assert paid == alice.payment(pending["id"])
    assert paid["authorization_details"]["three_d_secure"] == {"applied": True}
    assert paid["income_amount"] == {"value": "286.23", "currency": "RUB"}
    assert paid["refunded_amount"] == {"value": "0.00", "currency": "RUB"}
    for name in (
        "id",
        "amount",
        "created_at",
        "description",
        "metadata",
        "merchant_customer_id",
        "recipient",
    ):
        assert paid[name] == pending[name]


def test_sbp_pays(alice: Client) -> None:
    pending = alice.create(payment_method_data={"type": "sbp"})
    assert pending["payment_method"]["type"] == "sbp"
    paid = alice.server.do("pay", payment_id=pending["id"])
    assert paid["payment_method"]["payer_bank_details"] == {"bank_id": "100000000111", "bic": "044525225"}
    assert "authorization_details" not in paid


def test_a_fiscalized_sbp_payment_has_every_field_of_the_published_example(alice: Client) -> None:
    alice.server.do("shop", fiscalization="yoo_receipt", test=False)
    pending = alice.create("299.00", receipt=receipt("299.00"))
    assert set(pending) == PENDING_EXAMPLE
    assert set(alice.server.do("pay", payment_id=pending["id"], method="sbp")) == SUCCEEDED_EXAMPLE
    part = alice.refund(pending["id"], "100.00", description="Возврат", receipt=receipt("100.00"))
    assert set(part) == REFUND_EXAMPLE | {"refund_method"}
    declined = alice.create(description=None, receipt=receipt())
    alice.server.do("decline", payment_id=declined["id"])
    assert set(alice.payment(declined["id"])) == CANCELED_EXAMPLE


@pytest.mark.parametrize(("kind", "field"), [("qr", "confirmation_data"), ("embedded", "confirmation_token")])
def test_other_confirmations_lead_to_the_same_payment(alice: Client, kind: str, field: str) -> None:
    pending = alice.create(confirmation={"type": kind})
    assert pending["id"] in pending["confirmation"][field]


def test_a_method_that_was_asked_for_is_the_only_one(alice: Client) -> None:
    pending = alice.create(payment_method_data={"type": "sbp"})
    with pytest.raises(OSError, match="cannot be made by bank_card"):
        alice.server.do("pay", payment_id=pending["id"], method="bank_card")


def test_a_decline_is_final(alice: Client) -> None:
    pending = alice.create()
    declined = alice.server.do(
        "decline", payment_id=pending["id"], reason="fraud_suspected", party="yoo_money"
    )
    assert declined["cancellation_details"] == {"party": "yoo_money", "reason": "fraud_suspected"}
    assert not declined["paid"]
    for action in ("pay", "decline", "expire"):
        with pytest.raises(OSError, match="canceled"):
            alice.server.do(action, payment_id=pending["id"])
    with pytest.raises(OSError, match="canceled"):
        alice.server.do("pay", payment_id=pending["id"], late=True)


def test_an_unpaid_payment_expires_after_an_hour(alice: Client) -> None:
    pending = alice.create()
    alice.server.do("advance", seconds=3590)
    assert alice.payment(pending["id"])["status"] == "pending"
    alice.server.do("advance", seconds=11)
    expired = alice.payment(pending["id"])
    assert expired["cancellation_details"] == {"party": "yoo_money", "reason": "expired_on_confirmation"}


def test_a_paid_payment_does_not_expire(alice: Client) -> None:
    paid = alice.paid()
    alice.server.do("advance", seconds=8 * 86_400)
    assert alice.payment(paid["id"]) == paid


def test_an_expired_payment_can_be_paid_late(alice: Client) -> None:
    pending = alice.create()
    alice.server.do("expire", payment_id=pending["id"])
    paid = alice.server.do("pay", payment_id=pending["id"], late=True)
    assert paid["status"] == "succeeded"
    assert alice.payment(pending["id"]) == paid


@pytest.mark.parametrize(
    ("lie", "field", "value"),
    [
        ({"amount": "99.99"}, "amount", {"value": "99.99", "currency": "RUB"}),
        ({"currency": "USD"}, "amount", {"value": "100.00", "currency": "USD"}),
        ({"test": False}, "test", False),
        ({"shop_id": "100500"}, "recipient", {"account_id": "100500", "gateway_id": "100700"}),
    ],
)
def test_a_paid_payment_can_differ_from_what_was_asked_for(
    alice: Client, lie: dict[str, object], field: str, value: object
) -> None:
    pending = alice.create()
    assert pending[field] != value
    alice.server.do("pay", payment_id=pending["id"], **lie)
    assert alice.payment(pending["id"])[field] == value


def test_held_money_is_captured_in_part_or_released(alice: Client) -> None:
    held = alice.paid(capture=False)
    assert held["status"] == "waiting_for_capture"
    assert not held["refundable"]
    amount = {"value": "100.01", "currency": "RUB"}
    alice.refused(f"/payments/{held['id']}/capture", {"amount": amount}, "amount.value")
    amount["value"] = "40.00"
    captured = alice.post(f"/payments/{held['id']}/capture", {"amount": amount}).json()
    assert (captured["status"], captured["amount"]) == ("succeeded", amount)
    alice.refused(f"/payments/{held['id']}/capture", {}, "payment_id")

    released = alice.paid(capture=False)
    assert alice.post(f"/payments/{released['id']}/cancel").json()["status"] == "canceled"
    canceled = alice.payment(released["id"])
    assert canceled["cancellation_details"] == {"party": "merchant", "reason": "canceled_by_merchant"}


def test_held_money_is_released_after_seven_days(alice: Client) -> None:
    held = alice.paid(capture=False)
    alice.server.do("advance", seconds=7 * 86_400 + 1)
    assert alice.payment(held["id"])["cancellation_details"]["reason"] == "expired_on_capture"


def test_what_is_taken_at_once_or_not_paid_cannot_be_cancelled(alice: Client) -> None:
    text = alice.refused(f"/payments/{alice.paid()['id']}/cancel", {}, "payment_id")
    assert text == "You can not cancel payment with autocapture"
    pending = alice.create(capture=False)
    alice.refused(f"/payments/{pending['id']}/cancel", {}, "payment_id")
    alice.refused(f"/payments/{pending['id']}/capture", {}, "payment_id")


def test_capture_is_false_unless_asked_for(alice: Client) -> None:
    assert alice.paid(capture=None)["status"] == "waiting_for_capture"


def test_what_does_not_exist_is_not_found(alice: Client) -> None:
    unknown = "2f1c1a4e-000f-5001-8000-1b2c3d4e5f60"
    for path in (f"/payments/{unknown}", f"/refunds/{unknown}", "/nothing"):
        assert alice.get(path).status_code == 404
    for path in (f"/payments/{unknown}/capture", f"/payments/{unknown}/cancel"):
        assert alice.post(path, {}).status_code == 404
    assert alice.get(f"/payments/{unknown}/cancel").status_code == 405


def test_a_disabled_shop_takes_no_payments(server: YooKassaServer, alice: Client) -> None:
    server.do("shop", enabled=False)
    assert alice.post("/payments", payment_body()).status_code == 403


def test_a_live_shop_makes_live_payments(server: YooKassaServer, alice: Client) -> None:
    assert alice.create()["test"] is True
    server.do("shop", test=False)
    assert alice.create()["test"] is False
