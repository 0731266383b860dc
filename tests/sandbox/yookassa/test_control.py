"""The control route: its state, its journal, and what it refuses."""

from datetime import datetime, timedelta

import pytest
import requests

from tests.sandbox.yookassa.driving import Client, new_key, payment_body, refund_body
from tests.servers import YooKassaServer


def test_the_journal_tells_how_often_a_refund_was_asked_for(alice: Client) -> None:
    payment, key = alice.paid(), new_key()
    for _ in range(3):
        alice.refund(payment["id"], "10.00", key)
    alice.post("/refunds", refund_body(payment["id"], "1000.00"))
    seen = alice.server.requests_seen(path="/v3/refunds", key=key)
    assert len(seen) == 3
    assert seen[0]["body"] == refund_body(payment["id"], "10.00")
    assert [entry["replayed"] for entry in seen] == [False, True, True]
    assert len(alice.server.requests_seen(status=400)) == 1


def test_the_state_counts_what_there_is(server: YooKassaServer, alice: Client) -> None:
    alice.refund(alice.paid()["id"])
    alice.create()
    state = requests.get(f"{server.url}/sandbox/control", timeout=10).json()
    assert state["payments"] == {"succeeded": 1, "pending": 1}
    assert state["refunds"] == {"succeeded": 1}
    assert state["shop"]["account_id"] == "sandbox"
    assert state["requests"] == 3


def test_a_reset_forgets_everything(server: YooKassaServer, alice: Client) -> None:
    key = new_key()
    first = alice.create(key=key)
    server.do("shop", test=False, fiscalization="atol")
    server.do("refund_mode", mode="pending")
    server.do("fault", fault="error", count=None)
    server.do("webhooks", url="http://127.0.0.1:9/", copies=3)
    server.do("advance", seconds=86_400)
    state = server.do("reset")
    assert (state["payments"], state["refunds"], state["requests"]) == ({}, {}, 0)
    assert (state["faults"], state["refund_mode"]["name"]) == ([], "succeeded")
    assert (state["webhooks"]["url"], state["webhooks"]["copies"]) == ("", 1)
    assert alice.get(f"/payments/{first['id']}").status_code == 404
    again = alice.create(key=key)
    assert again["test"] is True
    hours = datetime.fromisoformat(again["created_at"]) - datetime.fromisoformat(first["created_at"])
    assert hours < timedelta(hours=1), "the day that was passed is forgotten as well"


@pytest.mark.parametrize(
    ("action", "arguments", "text"),
    [
        ("dance", {}, "unknown action 'dance'; known are advance, "),
        ("pay", {}, "payment_id"),
        ("pay", {"payment_id": "nope"}, "there is no payment nope"),
        ("pay", {"payment_id": 7}, "payment_id cannot be 7"),
        ("pay", {"payment_id": "nope", "colour": "red"}, "colour"),
        ("settle_refund", {"refund_id": "nope"}, "there is no refund nope"),
        ("settle_receipt", {}, "payment_id or refund_id"),
        ("advance", {"seconds": -1}, "seconds"),
        ("advance", {"seconds": True}, "seconds"),
        ("advance", {"seconds": 1e10}, "seconds"),
        ("refund_mode", {"mode": "later"}, "pending_then_canceled"),
        ("receipt_mode", {"mode": "later"}, "canceled"),
        ("shop", {"fiscalization": "nobody"}, "yoo_receipt"),
        ("shop", {"methods": []}, "method"),
        ("shop", {"methods": ["cash"]}, "sbp"),
        ("webhooks", {"copies": 0}, "copies"),
        ("webhooks", {"copies": True}, "copies"),
        ("webhooks", {"headers": {"X": 1}}, "headers"),
        ("resume", {"order": "random"}, "reversed"),
        ("notify", {}, "object"),
        ("notify", {"object": {}}, "no URL"),
        ("notify", {"object": {}, "shape": "round"}, "truncated"),
    ],
)
def test_what_cannot_be_done_is_said(
    server: YooKassaServer, action: str, arguments: dict[str, object], text: str
) -> None:
    with pytest.raises(OSError, match=text):
        server.do(action, **arguments)


@pytest.mark.parametrize("lie", [{"amount": "1"}, {"currency": "XTR"}, {"method": "barter"}, {"late": "yes"}])
def test_a_lie_must_be_readable(alice: Client, lie: dict[str, object]) -> None:
    payment = alice.create()
    with pytest.raises(OSError, match=r".+"):
        alice.server.do("pay", payment_id=payment["id"], **lie)
    assert alice.payment(payment["id"])["status"] == "pending"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [(b"{}", "text/plain"), (b"[]", "application/json"), (b"{", "application/json")],
)
def test_only_json_objects_control(server: YooKassaServer, data: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = requests.post(f"{server.url}/sandbox/control", data=data, headers=headers, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_shop_of_its_own_methods(server: YooKassaServer, alice: Client) -> None:
    server.do("shop", methods=["bank_card"])
    assert alice.get("/me").json()["payment_methods"] == ["bank_card"]
    body = payment_body(payment_method_data={"type": "sbp"})
    alice.refused("/payments", body, "payment_method_data.type")
