"""What can be made to go wrong goes wrong as described, and as often."""

import threading
import time

import pytest
import requests

from tests.sandbox.yookassa.driving import Client, new_key, payment_body, refund_body
from tests.sandbox.yookassa.receiver import Receiver
from tests.servers import start_sandbox_yookassa
from tests.waiting import wait_until


def test_a_fault_hits_what_it_is_meant_for_and_is_used_up(alice: Client) -> None:
    payment = alice.paid()
    state = alice.server.do("fault", fault="error", method="POST", path="/v3/refunds*", count=2, skip=1)
    assert state["faults"][0]["count"] == 2
    assert alice.get("/refunds").status_code == 200
    answers = [alice.post("/refunds", refund_body(payment["id"], "10.00")).status_code for _ in range(4)]
    assert answers == [200, 500, 500, 200]
    assert len(alice.refunds()["items"]) == 2
    seen = alice.server.requests_seen(method="POST", path="/v3/refunds")
    assert [(entry["fault"], entry["processed"], entry["status"]) for entry in seen] == [
        (None, True, 200),
        ("error", False, 500),
        ("error", False, 500),
        (None, True, 200),
    ]
    assert alice.server.do("clear_faults")["faults"] == []


def test_a_lost_answer_is_repeated_by_its_key(alice: Client) -> None:
    alice.server.do("fault", fault="drop", processed=True)
    key, body = new_key(), payment_body()
    with pytest.raises(requests.ConnectionError):
        alice.post("/payments", body, key)
    (made,) = alice.payments()["items"]
    assert alice.post("/payments", body, key).json()["id"] == made["id"]
    seen = alice.server.requests_seen(key=key)
    assert [(entry["processed"], entry["replayed"], entry["status"]) for entry in seen] == [
        (True, False, None),
        (True, True, 200),
    ]


def test_a_dropped_request_was_never_carried_out(alice: Client) -> None:
    alice.server.do("fault", fault="drop")
    with pytest.raises(requests.ConnectionError):
        alice.post("/payments", payment_body())
    assert alice.payments()["items"] == []


@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        ("error", 500, "application/json"),
        ("bad_gateway", 502, "text/html"),
        ("unavailable", 503, ""),
        ("not_json", 200, "text/html"),
        ("processing", 202, "application/json"),
        ("too_many_requests", 429, "application/json"),
        ("unauthorized", 401, "application/json"),
        ("forbidden", 403, "application/json"),
    ],
)
def test_every_answer_comes_before_or_after_the_work(
    alice: Client, fault: str, status: int, content_type: str, processed: bool
) -> None:
    alice.server.do("fault", fault=fault, processed=processed)
    answer = alice.post("/payments", payment_body())
    assert answer.status_code == status
    assert answer.headers.get("Content-Type", "").split(";")[0] == content_type
    assert len(alice.payments()["items"]) == processed


def test_the_old_202_asks_for_a_retry(alice: Client) -> None:
    alice.server.do("fault", fault="processing")
    body = alice.post("/payments", payment_body()).json()
    assert (body["type"], body["retry_after"]) == ("processing", 1800)


@pytest.mark.parametrize("processed", [False, True])
def test_a_hang_before_or_after_the_work(alice: Client, processed: bool) -> None:
    seconds = 12  # long enough to still hang when the payments are counted, on a slow machine too
    alice.server.do("fault", fault="hang", seconds=seconds, processed=processed)
    key, body, started = new_key(), payment_body(), time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        alice.post("/payments", body, key, timeout=1)
    wait_until(lambda: [seen["processed"] for seen in alice.server.requests_seen(key=key)] == [processed])
    assert len(alice.payments()["items"]) == processed
    wait_until(lambda: alice.server.requests_seen(key=key)[0]["status"] == 200, timeout=60)
    assert time.monotonic() - started >= seconds
    assert alice.post("/payments", body, key).json()["id"] == alice.payments()["items"][0]["id"]


def test_a_reset_ends_a_hanging_request_without_carrying_it_out(alice: Client) -> None:
    alice.server.do("fault", fault="hang", seconds=60)
    errors: list[Exception] = []

    def send() -> None:
        try:
            alice.post("/payments", payment_body(), timeout=30)
        except requests.ConnectionError as error:
            errors.append(error)

    slow = threading.Thread(target=send)
    slow.start()
    wait_until(lambda: alice.server.requests_seen(fault="hang"), timeout=10)
    alice.server.do("reset")
    slow.join(10)
    assert len(errors) == 1
    assert alice.payments()["items"] == []


def test_a_hanging_request_and_its_repetition_make_one_payment(alice: Client) -> None:
    alice.server.do("fault", fault="hang", seconds=0.3)
    key, body, answers = new_key(), payment_body(), []
    slow = threading.Thread(target=lambda: answers.append(alice.post("/payments", body, key).json()))
    slow.start()
    wait_until(lambda: alice.server.requests_seen(key=key), timeout=10)
    answers.append(alice.post("/payments", body, key).json())
    slow.join()
    assert answers[0] == answers[1]
    assert len(alice.payments()["items"]) == 1


def test_a_new_payment_is_unknown_for_a_while(alice: Client) -> None:
    alice.server.do("fault", fault="hidden", method="POST", seconds=20, count=2)
    payment = alice.create()
    alice.server.do("pay", payment_id=payment["id"])
    refund = alice.refund(payment["id"])
    for path in (f"/payments/{payment['id']}", f"/refunds/{refund['id']}"):
        assert alice.get(path).status_code == 404
    assert alice.payments()["items"] == alice.refunds()["items"] == []
    alice.server.do("advance", seconds=21)
    assert alice.payment(payment["id"])["status"] == "succeeded"
    assert alice.refunds()["items"] == [refund]


def test_the_notification_comes_before_the_answer(alice: Client, receiver: Receiver) -> None:
    receiver.answers = [500]
    alice.server.do("fault", fault="webhook_first", method="POST")
    payment = alice.create()
    assert payment["status"] == "pending"
    assert receiver.events() == [("payment.succeeded", "succeeded")]
    assert alice.payment(payment["id"])["status"] == "succeeded"


def test_chances_repeat_with_their_seed() -> None:
    def pattern(seed: str) -> list[int]:
        with start_sandbox_yookassa("--seed", seed) as server:
            server.do("fault", fault="error", chance=0.5, count=None)
            return [Client(server).get("/me").status_code for _ in range(20)]

    first = pattern("1")
    assert set(first) == {200, 500}
    assert pattern("1") == first
    assert pattern("2") != first


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"fault": "earthquake"},
        {"fault": "error", "count": -1},
        {"fault": "error", "count": True},
        {"fault": "hang", "seconds": "long"},
        {"fault": "error", "processed": 1},
        {"fault": "error", "nope": 1},
    ],
)
def test_a_wrong_fault_is_refused(alice: Client, fault: dict[str, object]) -> None:
    with pytest.raises(OSError, match="fault"):
        alice.server.do("fault", **fault)
    assert alice.get("/me").status_code == 200
