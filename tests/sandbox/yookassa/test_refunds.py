"""Refunds: how much, how often, and how they end."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sandbox.yookassa.driving import Client, refund_body
from tests.sandbox.yookassa.receiver import Receiver
from tests.waiting import wait_until


def test_a_payment_is_given_back_in_parts_and_no_further(alice: Client) -> None:
    payment = alice.paid()
    part = alice.refund(payment["id"], "30.00", description="Возврат 77", metadata={"refund_id": "9"})
    assert (part["status"], part["description"], part["metadata"]) == (
        "succeeded",
        "Возврат 77",
        {"refund_id": "9"},
    )
    assert alice.refund_by_id(part["id"]) == part
    assert (
        alice.refused("/refunds", refund_body(payment["id"], "70.01"), "amount.value")
        == "Refund sum exceeded"
    )
    alice.refund(payment["id"], "70.00")
    whole = alice.payment(payment["id"])
    assert (whole["refunded_amount"]["value"], whole["refundable"]) == ("100.00", False)
    text = alice.refused("/refunds", refund_body(payment["id"], "0.01"), "payment_id")
    assert text == "Payment is already completely refunded"


def test_less_than_a_ruble_cannot_be_left(alice: Client) -> None:
    payment = alice.paid()
    assert "1.00" in alice.refused("/refunds", refund_body(payment["id"], "99.50"), "amount.value")
    alice.refund(payment["id"], "99.00")


def test_sbp_refunds_name_their_operation(alice: Client) -> None:
    refund = alice.refund(alice.paid(method="sbp")["id"])
    assert refund["refund_method"]["type"] == "sbp"
    assert "refund_authorization_details" not in refund


def test_what_cannot_be_refunded(alice: Client) -> None:
    alice.refused("/refunds", refund_body("2f1c1a4e-000f-5001-8000-1b2c3d4e5f60"), "payment_id")
    alice.refused("/refunds", {"amount": {"value": "1.00", "currency": "RUB"}}, "payment_id")
    alice.refused("/refunds", refund_body(alice.create()["id"]), "payment_id")
    alice.refused("/refunds", refund_body(alice.paid(capture=False)["id"]), "payment_id")
    payment = alice.paid()
    alice.refused("/refunds", refund_body(payment["id"], description="x" * 251), "description")
    alice.refused("/refunds", refund_body(payment["id"], "0.00"), "amount.value")
    dollars = {"value": "1.00", "currency": "USD"}
    alice.refused("/refunds", refund_body(payment["id"], amount=dollars), "amount.currency")
    alice.server.do("advance", seconds=3 * 366 * 86_400)
    alice.refused("/refunds", refund_body(payment["id"]), "payment_id")


def test_parts_at_once_never_exceed_the_payment(alice: Client) -> None:
    payment = alice.paid()
    with ThreadPoolExecutor(8) as pool:
        body = refund_body(payment["id"], "30.00")
        answers = list(pool.map(lambda _: alice.post("/refunds", body).status_code, range(8)))
    assert sorted(answers) == [200] * 3 + [400] * 5
    assert alice.payment(payment["id"])["refunded_amount"]["value"] == "90.00"


def test_a_pending_refund_holds_its_money_until_it_is_settled(alice: Client) -> None:
    payment = alice.paid()
    alice.server.do("refund_mode", mode="pending", count=2)
    first, second = alice.refund(payment["id"], "60.00"), alice.refund(payment["id"], "40.00")
    assert {first["status"], second["status"]} == {"pending"}
    alice.refused("/refunds", refund_body(payment["id"], "1.00"), "payment_id")
    assert alice.payment(payment["id"])["refunded_amount"]["value"] == "0.00"

    settled = alice.server.do("settle_refund", refund_id=first["id"])
    assert settled == alice.refund_by_id(first["id"]) == first | {"status": "succeeded"}
    canceled = alice.server.do("settle_refund", refund_id=second["id"], status="canceled")
    assert canceled["cancellation_details"] == {"party": "refund_network", "reason": "insufficient_funds"}
    assert alice.payment(payment["id"])["refunded_amount"]["value"] == "60.00"
    assert alice.refund(payment["id"], "40.00")["status"] == "succeeded"
    with pytest.raises(OSError, match="succeeded"):
        alice.server.do("settle_refund", refund_id=first["id"], status="canceled")


@pytest.mark.parametrize("end", ["succeeded", "canceled"])
def test_a_pending_refund_ends_by_itself(alice: Client, end: str) -> None:
    payment = alice.paid()
    alice.server.do("refund_mode", mode=f"pending_then_{end}", seconds=120, reason="rejected_by_payee")
    refund = alice.refund(payment["id"])
    alice.server.do("advance", seconds=100)
    assert alice.refund_by_id(refund["id"])["status"] == "pending"
    alice.server.do("advance", seconds=21)
    ended = alice.refund_by_id(refund["id"])
    assert ended["status"] == end
    assert ended.get("cancellation_details", {}).get("reason") == {"canceled": "rejected_by_payee"}.get(end)


def test_a_refund_is_canceled_at_once(alice: Client) -> None:
    alice.server.do("refund_mode", mode="canceled", count=1)
    payment = alice.paid()
    assert alice.refund(payment["id"])["status"] == "canceled"
    assert alice.refund(payment["id"])["status"] == "succeeded"


def test_a_refund_in_the_cabinet_is_told_and_listed(alice: Client, receiver: Receiver) -> None:
    payment = alice.paid()
    wait_until(lambda: len(receiver.received) == 1)  # what is told of at once may come in any order
    refund = alice.server.do("refund", payment_id=payment["id"], amount="25.00", description="Кабинет")
    assert alice.refunds()["items"] == [refund]
    wait_until(lambda: len(receiver.received) == 2)
    alice.server.do("refund", payment_id=payment["id"])
    assert alice.payment(payment["id"])["refunded_amount"]["value"] == "100.00"
    with pytest.raises(OSError, match="completely refunded"):
        alice.server.do("refund", payment_id=payment["id"], amount="1.00")
    wait_until(lambda: len(receiver.received) == 3)
    assert receiver.received[1].body == {
        "type": "notification",
        "event": "refund.succeeded",
        "object": refund,
    }


def test_a_canceled_refund_is_told_to_nobody(alice: Client, receiver: Receiver) -> None:
    payment = alice.paid()
    wait_until(lambda: receiver.received, timeout=10)
    alice.server.do("refund_mode", mode="canceled", count=1)
    alice.refund(payment["id"])
    alice.server.do("advance", seconds=100_000)
    assert receiver.events() == [("payment.succeeded", "succeeded")]
