"""Notifications: sent, repeated until answered with 200, and sent wrongly on demand."""

from datetime import datetime

import pytest

from tests.sandbox.yookassa.driving import Client
from tests.sandbox.yookassa.receiver import Receiver
from tests.servers import start_sandbox_yookassa
from tests.waiting import wait_until


def arrived(receiver: Receiver, count: int) -> None:
    wait_until(lambda: len(receiver.received) >= count, timeout=10)
    assert len(receiver.received) == count


def noted(alice: Client, count: int) -> None:
    """Wait until the stand-in has read the answers, too, and planned what follows from them."""
    wait_until(lambda: len(alice.server.deliveries()) >= count, timeout=10)


def advance_to(alice: Client, seconds: float) -> None:
    """Move the clock to so many seconds after the first delivery of all."""
    first = datetime.fromisoformat(alice.server.deliveries()[0]["at"])
    now = datetime.fromisoformat(alice.server.do("advance", seconds=0)["now"])
    alice.server.do("advance", seconds=max(0.0, seconds - (now - first).total_seconds()))


def test_every_event_is_told_with_the_object_of_its_moment(alice: Client, receiver: Receiver) -> None:
    paid = alice.paid(method="sbp")
    arrived(receiver, 1)
    first = receiver.received[0]
    assert first.body == {"type": "notification", "event": "payment.succeeded", "object": paid}
    assert first.headers["Content-Type"] == "application/json"
    held = alice.paid(capture=False)
    alice.post(f"/payments/{held['id']}/cancel")
    alice.refund(paid["id"])
    arrived(receiver, 4)
    assert sorted(receiver.events()[1:]) == [
        ("payment.canceled", "canceled"),
        ("payment.waiting_for_capture", "waiting_for_capture"),
        ("refund.succeeded", "succeeded"),
    ]
    noted(alice, 4)
    (attempt,) = alice.server.deliveries(event="refund.succeeded")
    assert (attempt["status"], attempt["attempt"], attempt["error"]) == (200, 1, "")


def test_the_url_can_be_given_at_the_start(receiver: Receiver) -> None:
    with start_sandbox_yookassa("--webhook-url", receiver.url) as server:
        Client(server).paid()
        arrived(receiver, 1)


def test_without_a_url_nobody_is_told(alice: Client) -> None:
    alice.paid()
    assert alice.server.deliveries() == []


def test_redelivery_of_what_is_long_past_goes_on_for_a_day(alice: Client, receiver: Receiver) -> None:
    receiver.answers = [500, 404, 302, 204, 201, 503] + [500] * 20
    held = alice.paid(capture=False)
    arrived(receiver, 1)
    noted(alice, 1)
    for moment, attempts in [(11, 2), (43, 3), (85, 4), (169, 5), (673, 6), (5377, 7), (86_017, 8)]:
        advance_to(alice, moment)
        told = alice.server.deliveries(event="payment.waiting_for_capture")
        assert len(told) == attempts, moment
        assert {entry["object_status"] for entry in told} == {"waiting_for_capture"}
        if moment == 43:
            alice.server.do("expire", payment_id=held["id"])
    second = datetime.fromisoformat(told[1]["at"])  # its pause began with the event, after the creation
    assert (second - datetime.fromisoformat(held["created_at"])).total_seconds() >= 10
    alice.server.do("advance", seconds=30 * 86_400)
    assert len(alice.server.deliveries(event="payment.waiting_for_capture")) == 8
    assert len(alice.server.deliveries(event="payment.canceled")) == 8


def test_redelivery_ends_with_the_first_200(alice: Client, receiver: Receiver) -> None:
    receiver.answers = [500, 500]
    alice.paid()
    arrived(receiver, 1)
    noted(alice, 1)
    alice.server.do("advance", seconds=100_000)
    assert [entry["status"] for entry in alice.server.deliveries()] == [500, 500, 200]


def test_a_receiver_that_is_away_is_told_when_it_is_back(alice: Client, receiver: Receiver) -> None:
    alice.server.do("webhooks", url="http://127.0.0.1:9/")
    alice.paid()
    wait_until(alice.server.deliveries, timeout=10)
    assert "ClientConnectorError" in alice.server.deliveries()[0]["error"]
    alice.server.do("webhooks", url=receiver.url)
    alice.server.do("advance", seconds=11)
    arrived(receiver, 1)


@pytest.mark.parametrize("parallel", [False, True])
def test_duplicates(alice: Client, receiver: Receiver, parallel: bool) -> None:
    alice.server.do("webhooks", copies=5, parallel=parallel)
    alice.paid()
    arrived(receiver, 5)
    assert len({item.raw for item in receiver.received}) == 1


def test_headers_of_ones_own_go_with_every_notification(alice: Client, receiver: Receiver) -> None:
    alice.server.do("webhooks", headers={"X-Forwarded-For": "77.75.156.11"})
    alice.paid()
    arrived(receiver, 1)
    assert receiver.received[0].headers["X-Forwarded-For"] == "77.75.156.11"


def test_a_pause_and_a_reversed_order(alice: Client, receiver: Receiver) -> None:
    alice.server.do("pause")
    held = alice.paid(capture=False)
    alice.post(f"/payments/{held['id']}/capture")
    wait_until(lambda: alice.server.do("pause")["webhooks"]["held"] == 2, timeout=10)
    assert receiver.received == []
    alice.server.do("resume", order="reversed")
    assert receiver.events() == [
        ("payment.succeeded", "succeeded"),
        ("payment.waiting_for_capture", "waiting_for_capture"),
    ]


def test_a_stale_notification_shows_the_payment_as_it_was(alice: Client, receiver: Receiver) -> None:
    held = alice.paid(capture=False)
    succeeded = alice.post(f"/payments/{held['id']}/capture").json()
    alice.refund(held["id"])
    arrived(receiver, 3)
    for status, expected in (("waiting_for_capture", held), ("succeeded", succeeded)):
        alice.server.do("notify", payment_id=held["id"], status=status)
        assert receiver.received[-1].body == {
            "type": "notification",
            "event": f"payment.{status}",
            "object": expected,
        }
    alice.server.do("notify", payment_id=held["id"], status="pending")
    assert receiver.received[-1].body["object"]["paid"] is False


def test_a_forged_notification_says_what_get_does_not(alice: Client, receiver: Receiver) -> None:
    pending = alice.create()
    answer = alice.server.do(
        "notify",
        payment_id=pending["id"],
        changes={"status": "succeeded", "paid": True, "amount": {"value": "999.00"}},
        headers={"X-Forwarded-For": "185.71.76.1, 10.0.0.1"},
    )
    assert answer["deliveries"][0]["status"] == 200
    (forged,) = receiver.received
    assert forged.body["event"] == "payment.succeeded"
    assert forged.body["object"]["amount"] == {"value": "999.00", "currency": "RUB"}
    assert forged.headers["X-Forwarded-For"] == "185.71.76.1, 10.0.0.1"
    assert alice.payment(pending["id"]) == pending


def test_a_notification_of_something_unknown(alice: Client, receiver: Receiver) -> None:
    alice.server.do("notify", object={"id": "?", "status": "active"}, event="payment_method.active")
    assert receiver.received[0].body["object"] == {"id": "?", "status": "active"}
    refund = alice.refund(alice.paid()["id"])
    arrived(receiver, 3)
    alice.server.do("notify", refund_id=refund["id"], status="canceled", copies=2, parallel=True)
    assert receiver.events()[-1] == ("refund.canceled", "canceled")


@pytest.mark.parametrize(
    ("shape", "least", "most"), [("truncated", 1, 600), ("not_json", 1, 100), ("empty", 0, 0)]
)
def test_a_broken_notification(alice: Client, receiver: Receiver, shape: str, least: int, most: int) -> None:
    alice.server.do("notify", payment_id=alice.create()["id"], shape=shape)
    (broken,) = receiver.received
    assert broken.body is None
    assert least <= len(broken.raw) <= most


def test_a_huge_notification(alice: Client, receiver: Receiver) -> None:
    alice.server.do("notify", payment_id=alice.create()["id"], shape="huge", size=2_000_000)
    assert len(receiver.received[0].raw) > 2_000_000
