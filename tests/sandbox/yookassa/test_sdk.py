"""The official SDK leads a payment's whole life against the sandbox."""

import pytest
from yookassa import Configuration, Payment, Refund, Settings
from yookassa.domain.exceptions import BadRequestError, NotFoundError, UnauthorizedError

from tests.sandbox.yookassa.driving import Client, new_key, payment_body, refund_body
from tests.sandbox.yookassa.receiver import Receiver
from tests.servers import YooKassaServer
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def _shop(server: YooKassaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("account_id", "secret_key", "api_url", "logger", "auth_token"):
        monkeypatch.setattr(Configuration, name, getattr(Configuration, name))
    Configuration.configure("sandbox", "sandbox", api_url=server.api_url)


def test_create_pay_refund_and_list(server: YooKassaServer, receiver: Receiver) -> None:
    key = new_key()
    payment = Payment.create(payment_body("299.00"), key)
    assert (payment.status, payment.paid) == ("pending", False)
    assert payment.confirmation.confirmation_url.endswith(f"/checkout/{payment.id}")
    assert Payment.create(payment_body("299.00", metadata=payment.metadata), key).id == payment.id

    server.do("pay", payment_id=payment.id)
    wait_until(lambda: len(receiver.received) == 1)  # what is told of at once may come in any order
    paid = Payment.find_one(payment.id)
    assert (paid.status, paid.paid, paid.refundable) == ("succeeded", True, True)
    assert (str(paid.amount.value), str(paid.income_amount.value)) == ("299.00", "286.23")
    assert paid.payment_method.card.last4 == "4477"

    refund = Refund.create(refund_body(payment.id, "100.00"), new_key())
    assert (refund.status, str(refund.amount.value)) == ("succeeded", "100.00")
    assert Refund.find_one(refund.id).payment_id == payment.id
    assert str(Payment.find_one(payment.id).refunded_amount.value) == "100.00"

    others = [Payment.create(payment_body(), new_key()).id for _ in range(4)]
    seen = []
    params = {"limit": 2}
    while True:
        page = Payment.list(params)
        seen += [item.id for item in page.items]
        if not page.next_cursor:
            break
        params["cursor"] = page.next_cursor
    assert seen == [*reversed(others), payment.id]
    assert [item.id for item in Refund.list({"payment_id": payment.id}).items] == [refund.id]

    wait_until(lambda: len(receiver.received) == 2, timeout=10)
    assert receiver.events() == [("payment.succeeded", "succeeded"), ("refund.succeeded", "succeeded")]


def test_two_stages(server: YooKassaServer) -> None:
    held = Payment.create(payment_body(capture=False), new_key())
    server.do("pay", payment_id=held.id)
    assert Payment.find_one(held.id).status == "waiting_for_capture"
    captured = Payment.capture(held.id, {"amount": {"value": "60.00", "currency": "RUB"}}, new_key())
    assert (captured.status, str(captured.amount.value)) == ("succeeded", "60.00")

    released = Payment.create(payment_body(capture=False), new_key())
    server.do("pay", payment_id=released.id)
    canceled = Payment.cancel(released.id, new_key())
    assert canceled.status == "canceled"
    assert (canceled.cancellation_details.party, canceled.cancellation_details.reason) == (
        "merchant",
        "canceled_by_merchant",
    )


def test_the_shop_tells_about_itself(server: YooKassaServer) -> None:
    me = Settings.get_account_settings()
    assert (me.account_id, me.status, me.test) == ("sandbox", "enabled", True)
    server.do("shop", fiscalization="yoo_receipt", test=False, enabled=False)
    me = Settings.get_account_settings()
    assert (me.fiscalization.provider, me.status, me.test) == ("yoo_receipt", "disabled", False)


def test_refusals_arrive_as_the_sdk_s_exceptions(alice: Client) -> None:
    with pytest.raises(NotFoundError):
        Payment.find_one("2f1c1a4e-000f-5001-8000-1b2c3d4e5f60")
    payment = alice.paid()
    with pytest.raises(BadRequestError) as refused:
        Refund.create(refund_body(payment["id"], "100.01"), new_key())
    assert refused.value.content["description"] == "Refund sum exceeded"
    Configuration.secret_key = "wrong"
    with pytest.raises(UnauthorizedError):
        Payment.find_one(payment["id"])


def test_sixteen_metadata_keys_of_one_s_own_are_one_too_many_for_the_sdk() -> None:
    metadata = {f"key{number}": "x" for number in range(16)}
    with pytest.raises(BadRequestError, match="limited to 16 keys"):
        Payment.create(payment_body(metadata=metadata), new_key())


def test_the_sdk_s_receipts_are_understood(server: YooKassaServer) -> None:
    server.do("shop", fiscalization="yoo_receipt")
    receipt = {
        "customer": {"email": "user@example.com"},
        "items": [
            {
                "description": "Баллы",
                "quantity": 3,
                "amount": {"value": "33.33", "currency": "RUB"},
                "vat_code": 1,
                "measure": "piece",
                "payment_subject": "service",
                "payment_mode": "full_payment",
            }
        ],
    }
    assert Payment.create(payment_body("99.99", receipt=receipt), new_key()).status == "pending"
    (sent,) = server.requests_seen(method="POST")
    assert sent["body"]["receipt"]["items"][0]["quantity"] == "3.0"
