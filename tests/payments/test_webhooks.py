"""Notifications: kept at once, believed in nothing, processed from what the gateway itself answers."""

import json
import logging
import socket
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import redis
import requests
from django.test import Client
from django.utils import timezone

from payments import webhooks
from payments.models import Discrepancy, LedgerEntry, Notification, Payment, PaymentStatus, Refund
from payments.reconcile import sweep_notifications
from payments.refunds import request_refund
from payments.services import send_payment
from payments.webhooks import process_notification
from qwenedit.users.models import User
from tests.api.server import WebServer
from tests.factories import UserFactory
from tests.servers import YooKassaServer
from tests.threads import at_once, errors

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/webhooks/yookassa/"
THEIRS = "77.75.153.10"
TopUp = Callable[..., Payment]


def announce(event: str, object_id: object, **changes: Any) -> bytes:
    """Return the body of a notification."""
    return json.dumps(
        {"type": "notification", "event": event, "object": {"id": object_id, **changes}}
    ).encode()


def post(body: bytes, sender: str = THEIRS, **headers: str) -> int:
    """Deliver a notification; return the status of the answer."""
    client = Client(enforce_csrf_checks=True, REMOTE_ADDR=sender)
    return client.post(ADDRESS, body, content_type="application/json", headers=headers).status_code


def receive(body: bytes) -> Notification:
    """Deliver a notification that is kept, and return it."""
    assert post(body) == 200
    return Notification.objects.latest("id")


def processed(notification: Notification) -> Notification:
    """Process a notification and return it as it is afterwards."""
    process_notification(notification.pk)
    notification.refresh_from_db()
    return notification


def balance(user: User) -> int:
    """Return a user's balance as it is now."""
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def test_a_paid_payment_is_announced_and_credited(
    top_up: TopUp, yookassa: YooKassaServer, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    with caplog.at_level(logging.INFO):
        notification = processed(receive(announce("payment.succeeded", payment.gateway_id)))

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.SUCCEEDED
    assert balance(alice) == 1060
    assert notification.processed_at is not None
    assert notification.outcome == "succeeded at the gateway, succeeded here"
    assert (notification.event, notification.object_id) == ("payment.succeeded", payment.gateway_id)
    assert notification.address == THEIRS
    assert (
        f"Payment notification processed: notification_id={notification.pk}, event_name=payment.succeeded, "
        f"payment_id={payment.pk}, user_id={alice.pk}, amount=10000 kopeks, status=succeeded, "
        f"yukassa_id={payment.gateway_id}"
    ) in caplog.text


def test_a_worker_is_woken_in_the_most_urgent_queue(
    top_up: TopUp, valkey: redis.Redis, settings: Any
) -> None:
    notification = receive(announce("payment.succeeded", top_up().gateway_id))
    broker = redis.Redis(unix_socket_path=str(settings.EMBEDDED_VALKEY_SOCKET), decode_responses=True)
    with broker:
        [message] = broker.lrange("qwenedit:interactive", 0, -1)
    assert json.loads(message)["headers"]["task"] == "payments.tasks.process_notification"
    assert f"'notification_id': {notification.pk}" in json.loads(message)["headers"]["kwargsrepr"]


def test_what_a_notification_claims_is_not_believed(top_up: TopUp, alice: User) -> None:
    payment = top_up()
    claim = announce("payment.succeeded", payment.gateway_id, status="succeeded", paid=True)

    notification = processed(receive(claim))

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.PENDING
    assert balance(alice) == 60
    assert notification.outcome == "pending at the gateway, pending here"


def test_a_hundred_equal_ones_at_once_credit_once(
    each_database: str, top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    rows = [receive(announce("payment.succeeded", payment.gateway_id)) for _ in range(100)]

    for start in range(0, 100, 20):
        several = rows[start : start + 20]
        actions = [lambda row=row: process_notification(row.pk) for row in several for _ in range(2)]
        assert errors(at_once(*actions)) == []

    assert LedgerEntry.objects.filter(key=f"payment:{payment.pk}").count() == 1
    assert balance(alice) == 1060
    assert not Notification.objects.open().exists()


def test_stale_and_reordered_ones_change_nothing(
    top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    for event in ("payment.succeeded", "payment.canceled", "payment.waiting_for_capture"):
        processed(receive(announce(event, payment.gateway_id)))

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.SUCCEEDED
    assert balance(alice) == 1060
    assert not Discrepancy.objects.exists()


def test_a_canceled_payment_is_closed_and_a_late_one_credited_after_all(
    top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("expire", payment_id=payment.gateway_id)
    processed(receive(announce("payment.canceled", payment.gateway_id)))
    payment.refresh_from_db()
    assert (payment.status, payment.failure) == (PaymentStatus.CANCELED, "expired_on_confirmation")

    yookassa.do("pay", payment_id=payment.gateway_id, late=True)
    processed(receive(announce("payment.succeeded", payment.gateway_id)))
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.SUCCEEDED
    assert balance(alice) == 1060


def test_one_that_overtakes_the_answer_to_the_creation_finds_its_payment(
    top_up: TopUp, yookassa: YooKassaServer, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    remote_id, address = payment.gateway_id, payment.confirmation_url
    Payment.objects.filter(pk=payment.pk).update(gateway_id=None, confirmation_url="")

    processed(receive(announce("payment.succeeded", remote_id)))

    payment.refresh_from_db()
    assert (payment.status, payment.gateway_id) == (PaymentStatus.SUCCEEDED, remote_id)
    assert balance(alice) == 1060
    with caplog.at_level(logging.INFO):
        send_payment(payment)  # the answer, late: the key brings back the first one
    payment.refresh_from_db()
    assert (payment.status, payment.confirmation_url) == (PaymentStatus.SUCCEEDED, address)
    assert "Payment created successfully" in caplog.text
    assert balance(alice) == 1060


@pytest.mark.parametrize(
    "difference", [{"amount": "1.00"}, {"currency": "USD"}, {"shop_id": "100500"}], ids=str
)
def test_a_payment_that_differs_is_quarantined(
    top_up: TopUp, yookassa: YooKassaServer, alice: User, difference: dict[str, str]
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id, **difference)

    processed(receive(announce("payment.succeeded", payment.gateway_id)))

    payment.refresh_from_db()
    found = Discrepancy.objects.get()
    assert (found.kind, found.payment) == (Discrepancy.Kind.MISMATCH, payment)
    assert payment.status == PaymentStatus.PENDING
    assert balance(alice) == 60


def test_a_payment_unknown_here_is_quarantined_once_it_is_paid(
    top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    remote_id = payment.gateway_id
    Payment.objects.filter(pk=payment.pk).delete()

    notification = processed(receive(announce("payment.succeeded", remote_id)))
    assert notification.outcome == "pending at the gateway, unknown here"
    assert not Discrepancy.objects.exists()

    yookassa.do("pay", payment_id=remote_id)
    for _ in range(2):
        processed(receive(announce("payment.succeeded", remote_id)))
    found = Discrepancy.objects.get()
    assert (found.kind, found.gateway_id) == (Discrepancy.Kind.UNKNOWN_PAYMENT, remote_id)
    assert found.raw["id"] == remote_id
    assert balance(alice) == 60


def test_metadata_does_not_claim_a_payment_that_has_another_id(
    top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    remote_id = payment.gateway_id
    Payment.objects.filter(pk=payment.pk).update(gateway_id="another")

    processed(receive(announce("payment.succeeded", remote_id)))

    assert Discrepancy.objects.get().kind == Discrepancy.Kind.UNKNOWN_PAYMENT
    assert balance(alice) == 60


def test_what_the_gateway_does_not_know_is_asked_again_for_a_while_and_then_forged(
    yookassa: YooKassaServer,
) -> None:
    forged = receive(announce("payment.succeeded", "2f1c1a4e-000f-5001-8000-1b2c3d4e5f60", paid=True))
    assert processed(forged).processed_at is None
    assert forged.tries == 1

    Notification.objects.update(received_at=timezone.now() - webhooks.FORGED_AFTER)
    assert processed(forged).processed_at is not None
    assert forged.outcome.startswith("forged")


def test_while_the_gateway_is_silent_it_waits_and_the_sweep_finds_it(
    top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    yookassa.do("fault", fault="error", count=2, method="GET")
    now = timezone.now()
    notification = processed(receive(announce("payment.succeeded", payment.gateway_id)))
    assert notification.processed_at is None

    assert sweep_notifications(now) == 0, "not due yet"
    assert sweep_notifications(now + timedelta(minutes=1)) == 1
    notification.refresh_from_db()
    assert (notification.processed_at, notification.tries) == (None, 2)
    Notification.objects.update(next_try_at=now)
    assert sweep_notifications(now + timedelta(minutes=1)) == 1
    notification.refresh_from_db()
    assert notification.processed_at is not None
    assert balance(alice) == 1060


def test_intervals_between_tries_grow(top_up: TopUp, yookassa: YooKassaServer) -> None:
    notification = receive(announce("payment.succeeded", top_up().gateway_id))
    yookassa.do("fault", fault="unavailable", count=None, method="GET")
    pauses = []
    for _ in range(10):
        began = timezone.now()
        processed(notification)
        pauses.append(round((notification.next_try_at - began).total_seconds()))
    yookassa.do("clear_faults")
    assert pauses == [10, 30, 60, 120, 300, 600, 1800, 3600, 3600, 3600]


class TestRefunds:
    """News of money that was given back."""

    def test_one_made_in_the_cabinet_is_recognised(
        self, top_up: TopUp, yookassa: YooKassaServer, alice: User
    ) -> None:
        payment = top_up()
        yookassa.do("pay", payment_id=payment.gateway_id)
        processed(receive(announce("payment.succeeded", payment.gateway_id)))
        remote = yookassa.do("refund", payment_id=payment.gateway_id, amount="30.00")

        for _ in range(2):
            notification = processed(receive(announce("refund.succeeded", remote["id"])))

        refund = Refund.objects.get()
        assert (refund.amount, refund.points, refund.is_external) == (3000, 300, True)
        assert notification.outcome == "refund succeeded at the gateway, succeeded here"
        assert balance(alice) == 760

    def test_one_of_ours_is_finished_by_its_notification(
        self, top_up: TopUp, yookassa: YooKassaServer, alice: User
    ) -> None:
        payment = top_up()
        yookassa.do("pay", payment_id=payment.gateway_id)
        processed(receive(announce("payment.succeeded", payment.gateway_id)))
        payment.refresh_from_db()
        yookassa.do("refund_mode", mode="pending")
        staff = UserFactory.create(is_staff=True)
        refund = request_refund(
            payment=payment, amount=10_000, reason="asked", staff=staff, form_token="0" * 32
        )
        assert refund.status == "pending"
        yookassa.do("settle_refund", refund_id=refund.gateway_id)

        processed(receive(announce("refund.succeeded", refund.gateway_id)))

        refund.refresh_from_db()
        assert refund.status == "succeeded"
        assert balance(alice) == 60

    def test_one_the_gateway_does_not_know_changes_nothing(self, yookassa: YooKassaServer) -> None:
        notification = processed(receive(announce("refund.succeeded", "no-such-refund")))
        assert notification.processed_at is None
        assert not Discrepancy.objects.exists()


RUBBISH = {
    "nothing": b"",
    "truncated": announce("payment.succeeded", "abc")[:-9],
    "no JSON": b"\xff\xfe payment",
    "a number": b"7",
    "a list": b"[]",
    "null": b"null",
    "an object without news": b"{}",
    "an object that is a text": b'{"event": "payment.succeeded", "object": "id"}',
    "no id": b'{"event": "payment.succeeded", "object": {}}',
    "a number as the id": announce("payment.succeeded", 7),
    "another path as the id": announce("payment.succeeded", "../refunds"),
    "a long id": announce("payment.succeeded", "a" * 65),
    "a NUL in the id": announce("payment.succeeded", "a\0b"),
    "half a character": announce("payment.succeeded", "\ud800"),
    "a NUL": b"\0\0",
    "depth": b"[" * 60_000,
    "a huge number": b"9" * 60_000,
}


@pytest.mark.parametrize("body", RUBBISH.values(), ids=RUBBISH)
def test_rubbish_is_kept_in_part_answered_and_closed(each_database: str, body: bytes) -> None:
    notification = receive(body)
    assert notification.processed_at is not None
    assert notification.outcome == "not a notification"
    assert len(notification.body) <= webhooks.KEPT_OF_RUBBISH
    assert sweep_notifications(timezone.now() + timedelta(days=1)) == 0


@pytest.mark.parametrize("event", ["payment_method.active", "deal.closed"])
def test_events_of_no_concern_are_closed(event: str) -> None:
    notification = receive(announce(event, "2f1c1a4e"))
    assert (notification.outcome, notification.event) == ("an event of no concern", event)
    assert notification.processed_at is not None


def test_an_unknown_event_of_a_payment_is_asked_for_like_any_other(
    top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    processed(receive(announce("payment.blessed", payment.gateway_id)))
    assert balance(alice) == 1060


def test_a_huge_one_is_refused_and_leaves_little() -> None:
    assert post(announce("payment.succeeded", "a", padding="x" * 5_000_000)) == 413
    notification = Notification.objects.get()
    assert len(notification.body) == webhooks.KEPT_OF_RUBBISH
    assert notification.processed_at is not None


def test_the_largest_one_that_is_taken_is_taken_whole() -> None:
    body = announce("payment.succeeded", "abc")
    padding = webhooks.LARGEST_BODY - len(body)
    assert receive(body + b" " * padding).processed_at is None
    assert post(body + b" " * (padding + 1)) == 413


class TestTheSender:
    """Who is let in."""

    def test_strangers_are_refused_and_leave_no_trace(self) -> None:
        assert post(announce("payment.succeeded", "abc"), sender="8.8.8.8") == 403
        assert post(b"rubbish", sender="8.8.8.8") == 403
        assert not Notification.objects.exists()

    @pytest.mark.parametrize(
        "sender", ["185.71.76.1", "::ffff:185.71.76.1", "2a02:5180:1::1", "127.0.0.1", "::1"]
    )
    def test_yookassa_is_let_in_and_so_is_its_stand_in_on_this_machine(self, sender: str) -> None:
        assert post(announce("payment.succeeded", "abc"), sender) == 200

    def test_with_keys_this_machine_is_a_stranger_too(self, settings: Any) -> None:
        settings.YOOKASSA_SHOP_ID, settings.YOOKASSA_SECRET_KEY = "1", "live"
        assert post(announce("payment.succeeded", "abc"), "127.0.0.1") == 403
        settings.YOOKASSA_WEBHOOK_NETWORKS = ["127.0.0.0/8"]
        assert post(announce("payment.succeeded", "abc"), "127.0.0.1") == 200
        assert post(announce("payment.succeeded", "abc"), THEIRS) == 403, "the list was replaced"

    @pytest.mark.parametrize(
        ("hops", "forwarded", "status"),
        [
            (0, THEIRS, 403),
            (1, THEIRS, 200),
            (1, f"8.8.8.8, {THEIRS}", 200),
            (1, f"{THEIRS}, 8.8.8.8", 403),
            (2, f"{THEIRS}, 10.0.0.2", 200),
            (2, THEIRS, 403),
            (1, "", 403),
            (1, "rubbish", 403),
        ],
    )
    def test_proxies_of_ours_are_counted_from_the_right(
        self, settings: Any, hops: int, forwarded: str, status: int
    ) -> None:
        settings.TRUSTED_PROXY_COUNT = hops
        body = announce("payment.succeeded", "abc")
        assert post(body, "10.0.0.1", **{"X-Forwarded-For": forwarded}) == status

    def test_only_post_is_answered(self) -> None:
        assert Client().get(ADDRESS).status_code == 405


@pytest.mark.processes
def test_without_a_broker_it_is_kept_all_the_same_and_answered_in_time() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    body = announce("payment.succeeded", "abc")
    with WebServer(REDIS_URL=f"redis://127.0.0.1:{port}") as server:
        requests.get(f"{server.url}/healthz", timeout=30)  # the first request loads the site
        answers = [requests.post(f"{server.url}{ADDRESS}", data=body, timeout=30) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert min(answer.elapsed for answer in answers) < timedelta(seconds=2)
    assert Notification.objects.open().count() == 3
