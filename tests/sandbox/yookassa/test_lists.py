"""Lists: newest first, filtered, in pages."""

import pytest

from tests.sandbox.yookassa.driving import Client


def ids(body: dict) -> list[str]:
    return [item["id"] for item in body["items"]]


def test_pages_hold_everything_once_though_new_payments_arrive(alice: Client) -> None:
    old = [alice.create()["id"] for _ in range(7)]
    page = alice.payments(limit=3)
    seen = ids(page)
    while "next_cursor" in page:
        alice.create()
        page = alice.payments(limit=3, cursor=page["next_cursor"])
        seen += ids(page)
    assert seen == old[::-1]


def test_ten_unless_asked_for_up_to_a_hundred(alice: Client) -> None:
    for _ in range(11):
        alice.create()
    assert len(alice.payments()["items"]) == 10
    assert "next_cursor" in alice.payments()
    everything = alice.payments(limit=100)
    assert len(everything["items"]) == 11
    assert "next_cursor" not in everything
    assert "next_cursor" not in alice.payments(limit=11)


def test_a_window_of_time_has_exact_borders(alice: Client) -> None:
    payments = []
    for _ in range(3):
        payments.append(alice.create())
        alice.server.do("advance", seconds=60)
    first, middle, last = payments
    at = middle["created_at"]
    assert ids(alice.payments(created_at__gte=at)) == [last["id"], middle["id"]]
    assert ids(alice.payments(created_at__gt=at)) == [last["id"]]
    assert ids(alice.payments(created_at__lte=at)) == [middle["id"], first["id"]]
    assert ids(alice.payments(created_at__lt=at)) == [first["id"]]
    zoned = at.replace("Z", "+00:00")
    assert ids(alice.payments(created_at__gte=zoned, created_at__lte=zoned)) == [middle["id"]]


def test_payments_by_status_method_and_time_of_capture(alice: Client) -> None:
    pending, card = alice.create(), alice.paid()
    alice.server.do("advance", seconds=60)
    sbp = alice.paid(method="sbp")
    assert ids(alice.payments(status="pending")) == [pending["id"]]
    assert ids(alice.payments(status="succeeded", payment_method="bank_card")) == [card["id"]]
    assert ids(alice.payments(captured_at__gt=card["captured_at"])) == [sbp["id"]]


def test_refunds_by_payment_status_and_page(alice: Client) -> None:
    one, other = alice.paid(), alice.paid()
    refunds = [alice.refund(one["id"], "10.00")["id"] for _ in range(3)]
    alice.server.do("refund_mode", mode="pending")
    pending = alice.refund(other["id"], "10.00")["id"]
    assert ids(alice.refunds(payment_id=one["id"])) == refunds[::-1]
    assert ids(alice.refunds(status="pending")) == [pending]
    page = alice.refunds(limit=2, payment_id=one["id"])
    assert ids(alice.refunds(cursor=page["next_cursor"], payment_id=one["id"])) == refunds[:1]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"limit": -1},
        {"cursor": "nope"},
        {"status": "paid"},
        {"created_at__gte": "yesterday"},
    ],
)
def test_a_wrong_query_is_refused(alice: Client, query: dict[str, object]) -> None:
    (name,) = query
    for path in ("/payments", "/refunds"):
        answer = alice.get(path, **query)
        assert answer.status_code == 400
        assert answer.json()["parameter"] == name.replace("__", ".")
