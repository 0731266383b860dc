"""What each answer means, and when a delivery is sent again."""

import threading
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from jobs.models import Job
from jobs.services import cancel_job
from qwenedit.users.models import User
from tests.factories import EndpointFactory, JobFactory, WebhookDeliveryFactory
from tests.threads import at_once
from tests.waiting import wait_until
from tests.webhooks.conftest import pass_pauses
from tests.webhooks.receiver import FAILURE, Receiver, answer, verified
from webhooks import outbox, sending
from webhooks.models import AT_ONCE, Delivery, DeliveryStatus, DisabledReason, Endpoint
from webhooks.outbox import LeaseLost
from webhooks.services import disable_endpoint, rotate_secret

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 60.0


def ended(endpoint: Endpoint, **fields: Any) -> Job:
    """End an edit of the endpoint's owner."""
    return cancel_job(job=JobFactory.create(user=endpoint.user, **fields))


def test_the_end_of_an_edit_arrives_signed(endpoint: Endpoint, receiver: Receiver) -> None:
    job = ended(endpoint)

    assert sending.send_due() == 1

    [request] = receiver.received
    assert verified(request, endpoint.secret)
    assert request.headers["content-type"] == "application/json"
    assert request.body["type"] == "job.cancelled"
    assert request.body["data"]["id"] == job.pk
    delivery = Delivery.objects.get()
    assert request.id == delivery.message_id
    assert (delivery.status, delivery.tries, delivery.lease_token, delivery.slot) == (
        "delivered",
        1,
        None,
        None,
    )
    assert delivery.finished_at
    [attempt] = delivery.attempts
    assert (attempt["status_code"], attempt["error"]) == (204, "")
    assert attempt["duration_ms"] >= 0


def test_another_secret_does_not_verify(endpoint: Endpoint, receiver: Receiver) -> None:
    ended(endpoint)
    sending.send_due()
    assert not verified(receiver.received[0], EndpointFactory.create().secret)


def test_while_a_secret_changes_both_verify_and_then_the_new_one_alone(
    endpoint: Endpoint, receiver: Receiver
) -> None:
    old = endpoint.secret
    rotate_secret(endpoint)
    ended(endpoint)
    sending.send_due()
    Endpoint.objects.update(previous_secret_until=timezone.now())
    ended(endpoint)
    sending.send_due()

    both, one = receiver.received
    assert old != endpoint.secret
    assert [verified(both, secret) for secret in (old, endpoint.secret)] == [True, True]
    assert [verified(one, secret) for secret in (old, endpoint.secret)] == [False, True]


def send_one() -> None:
    """Send what is due first. `send_due` goes on, and comes to it again if its pause passes meanwhile."""
    delivery = outbox.claim()
    assert delivery
    sending._send(delivery)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 429, 500, 503])
def test_any_other_answer_is_tried_again_with_the_same_id_and_bytes(
    status: int, endpoint: Endpoint, receiver: Receiver
) -> None:
    receiver.answers = [answer(status, b"not now", Location=receiver.url)]
    ended(endpoint)
    send_one()

    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.finished_at) == ("pending", None)
    began = datetime.fromisoformat(delivery.attempts[0]["at"])
    assert 4.25 <= (delivery.next_attempt_at - began).total_seconds() <= 5 + PATIENCE
    Delivery.objects.update(next_attempt_at=timezone.now() + timedelta(minutes=1))
    assert sending.send_due() == 0, "its time has not come"
    pass_pauses()
    sending.send_due()

    first, second = receiver.received
    assert (first.id, first.raw) == (second.id, second.raw)
    delivery.refresh_from_db()
    assert delivery.status == "delivered"
    assert [attempt["status_code"] for attempt in delivery.attempts] == [status, 204]
    assert delivery.attempts[0]["body"] == "not now"


def test_nobody_at_the_address_is_logged_in_words(alice: User) -> None:
    endpoint = EndpointFactory.create(user=alice)
    ended(endpoint)
    send_one()
    [attempt] = Delivery.objects.get().attempts
    assert (attempt["status_code"], attempt["error"]) == (
        None,
        "The connection was refused, or the host can not be reached.",
    )


def test_a_private_address_is_not_sent_to_in_production(
    endpoint: Endpoint, receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_NETWORKS = False
    Endpoint.objects.update(url=receiver.url.replace("http:", "https:"))
    ended(endpoint)
    sending.send_due()
    assert receiver.received == []
    assert Delivery.objects.get().attempts[0]["error"] == "The address is in a private network."


def test_it_is_tried_for_a_day_and_then_given_up(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.answers = [answer(500)] * 99
    ended(endpoint)
    waited = 0.0
    while sending.send_due():
        delivery = Delivery.objects.get()
        if delivery.finished_at:
            break
        waited += (delivery.next_attempt_at - timezone.now()).total_seconds()
        pass_pauses()

    assert (delivery.status, delivery.failure) == ("failed", "It answered 500.")
    assert len(receiver.received) == len(delivery.attempts) == len(sending.PAUSES) + 1
    assert 19 * 3600 < waited < 24 * 3600


def test_it_is_given_up_after_a_day_whoever_asked_to_wait(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.answers = [answer(503, Retry_After="7200")]
    ended(endpoint)
    Delivery.objects.update(gives_up_at=timezone.now() + timedelta(hours=1))
    sending.send_due()
    assert Delivery.objects.get().status == "failed"


class TestThePause:
    """How long until the next try."""

    now = timezone.now()

    @pytest.mark.parametrize("tries", range(1, 9))
    def test_grows(self, tries: int) -> None:
        usual = sending.PAUSES[tries - 1]
        assert 0.85 * usual <= (sending.pause(tries, "", now=self.now) or 0) <= usual

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [("120", 120), ("999999", 7200), ("9" * 30, 7200), ("-5", 5), ("soon", 5), ("", 5), ("1e3", 5)],
    )
    def test_is_as_long_as_the_receiver_asks_within_reason(self, header: str, seconds: float) -> None:
        assert sending.pause(1, header, now=self.now) == pytest.approx(seconds, rel=0.16)

    def test_may_be_asked_for_by_a_date(self) -> None:
        late = self.now + timedelta(seconds=600)
        header = f"{late:%a, %d %b %Y %H:%M:%S} GMT"
        assert sending.pause(1, header, now=self.now) == pytest.approx(600, abs=2)

    def test_ends(self) -> None:
        assert sending.pause(len(sending.PAUSES) + 1, "", now=self.now) is None


class TestAnEndpoint:
    """What its answers do to it."""

    def test_that_is_gone_is_disabled_and_what_waits_for_it_cancelled(
        self, endpoint: Endpoint, receiver: Receiver
    ) -> None:
        receiver.answers = [answer(410)]
        ended(endpoint)
        ended(endpoint)
        sending.send_due()

        endpoint.refresh_from_db()
        assert (endpoint.enabled, endpoint.disabled_reason) == (False, "gone")
        first, second = Delivery.objects.order_by("id")
        assert (first.status, first.failure) == ("failed", "It answered 410 Gone.")
        assert (second.status, second.failure) == (
            "cancelled",
            "The webhook is disabled: it answered 410 Gone.",
        )
        ended(endpoint)
        assert Delivery.objects.count() == 2

    def test_that_was_disabled_while_it_was_sent_to_is_not_tried_again(
        self, endpoint: Endpoint, receiver: Receiver
    ) -> None:
        def disable(handler: Any) -> None:
            disable_endpoint(endpoint=endpoint, reason=DisabledReason.OWNER)
            connections.close_all()
            FAILURE(handler)

        receiver.answers = [disable]
        ended(endpoint)
        sending.send_due()
        pass_pauses()
        sending.send_due()
        assert len(receiver.received) == 1
        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.failure) == ("cancelled", "The webhook is disabled.")
        assert (delivery.slot, delivery.lease_token) == (None, None)

    def test_remembers_since_when_it_fails_until_it_does_not(
        self, endpoint: Endpoint, receiver: Receiver
    ) -> None:
        receiver.answers = [FAILURE] * 2
        ended(endpoint)
        sending.send_due()
        endpoint.refresh_from_db()
        since = endpoint.failing_since
        assert since
        pass_pauses()
        sending.send_due()
        endpoint.refresh_from_db()
        assert endpoint.failing_since == since
        pass_pauses()
        sending.send_due()
        endpoint.refresh_from_db()
        assert endpoint.failing_since is None

    def test_that_fails_for_days_is_disabled(self, endpoint: Endpoint, receiver: Receiver) -> None:
        receiver.answers = [FAILURE] * 2
        ended(endpoint)
        Endpoint.objects.update(failing_since=timezone.now() - sending.FAILING_FOR + timedelta(minutes=5))
        sending.send_due()
        assert Endpoint.objects.get().enabled
        Endpoint.objects.update(failing_since=timezone.now() - sending.FAILING_FOR - timedelta(minutes=5))
        pass_pauses()
        sending.send_due()
        endpoint.refresh_from_db()
        assert (endpoint.enabled, endpoint.disabled_reason) == (False, "failing")
        assert Delivery.objects.get().status == "cancelled"


def test_events_of_one_endpoint_arrive_in_their_order(endpoint: Endpoint, receiver: Receiver) -> None:
    jobs = [ended(endpoint).pk for _ in range(5)]
    sending.send_due()
    assert [request.body["data"]["id"] for request in receiver.received] == jobs


def test_one_that_fails_holds_up_none_after_it(endpoint: Endpoint, receiver: Receiver) -> None:
    receiver.answers = [FAILURE]
    first, second = ended(endpoint).pk, ended(endpoint).pk
    sending.send_due()
    assert [request.body["data"]["id"] for request in receiver.received] == [first, second]
    assert Delivery.objects.filter(status=DeliveryStatus.PENDING).count() == 1


def test_a_mistake_of_ours_is_tried_again_and_ends(
    endpoint: Endpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(**_: Any) -> None:
        raise ZeroDivisionError

    ended(endpoint)
    with monkeypatch.context() as patch:
        patch.setattr(sending.signing, "headers", stumble)
        sending.send_due()
    assert Delivery.objects.get().attempts[0]["error"] == "A mistake of ours."
    pass_pauses()
    sending.send_due()
    assert Delivery.objects.get().status == "delivered"


class TestAWorkerThatDies:
    """Its delivery is sent again: twice rather than never, and under the same id."""

    def test_between_sending_and_writing_it_down(
        self, endpoint: Endpoint, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended(endpoint)

        def die(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(outbox, "finish", die)
            with pytest.raises(KeyboardInterrupt):
                sending.send_due()
        assert Delivery.objects.get().status == "sending"
        assert sending.send_due() == 0, "the lease is held"

        Delivery.objects.update(next_attempt_at=timezone.now())
        sending.send_due()

        first, second = receiver.received
        assert (first.id, first.raw) == (second.id, second.raw)
        delivery = Delivery.objects.get()
        assert delivery.status == "delivered"
        assert "The worker was lost" in delivery.attempts[0]["error"]
        assert delivery.attempts[1]["status_code"] == 204

    def test_and_comes_back_late_changes_nothing(self, endpoint: Endpoint) -> None:
        ended(endpoint)
        late = outbox.claim()
        assert late
        Delivery.objects.update(next_attempt_at=timezone.now())
        heir = outbox.claim()
        assert heir
        with pytest.raises(LeaseLost):
            outbox.finish(late, DeliveryStatus.FAILED, failure="x", at=timezone.now())
        outbox.finish(heir, DeliveryStatus.DELIVERED, at=timezone.now())
        assert Delivery.objects.get().status == "delivered"

    def test_or_meets_a_row_that_was_deleted_goes_on(self, endpoint: Endpoint, receiver: Receiver) -> None:
        def delete(handler: Any) -> None:
            Delivery.objects.order_by("id").first().delete()  # type: ignore[union-attr]
            connections.close_all()
            answer(204)(handler)

        receiver.answers = [delete]
        ended(endpoint)
        ended(endpoint)
        assert sending.send_due() == 2
        assert [row.status for row in Delivery.objects.all()] == ["delivered"]


class TestSlots:
    """One endpoint that is slow holds no more threads than AT_ONCE."""

    def test_a_channel_that_is_full_is_passed_over(self, endpoint: Endpoint) -> None:
        for slot in range(AT_ONCE):
            WebhookDeliveryFactory.create(endpoint=endpoint, status="sending", slot=slot)
        WebhookDeliveryFactory.create(endpoint=endpoint)
        assert outbox.claim() is None
        assert outbox.waiting(most=9) == 0
        other = WebhookDeliveryFactory.create()
        assert outbox.waiting(most=9) == 1
        assert outbox.claim() == other

    def test_threads_of_a_worker_leave_room_for_others(self, endpoint: Endpoint, receiver: Receiver) -> None:
        release = threading.Event()
        receiver.answers = [lambda handler: (release.wait(PATIENCE), answer(204)(handler))] * AT_ONCE
        slow = [WebhookDeliveryFactory.create(endpoint=endpoint).pk for _ in range(6)]
        try:
            sending.start(4)
            wait_until(lambda: receiver.in_flight == AT_ONCE, timeout=PATIENCE)
            quick = WebhookDeliveryFactory.create(endpoint=EndpointFactory.create(url=receiver.url))
            sending.start(1)
            wait_until(
                lambda: Delivery.objects.filter(pk=quick.pk, status="delivered").exists(), timeout=PATIENCE
            )
            assert Delivery.objects.filter(pk__in=slow, status="delivered").count() == 0
        finally:
            release.set()
        wait_until(lambda: not Delivery.objects.unfinished().exists(), timeout=PATIENCE)
        wait_until(no_thread_sends, timeout=PATIENCE)
        assert receiver.at_once <= AT_ONCE + 1
        assert len(receiver.received) == 7


def no_thread_sends() -> bool:
    """Tell whether the threads of `sending` have ended, and given their connections back."""
    return not any(thread.name == "webhooks" for thread in threading.enumerate())


@pytest.mark.postgres
class TestOnPostgreSQL:
    """Many workers at once."""

    def test_each_is_sent_once_and_never_more_than_the_cap_at_once(
        self, endpoint: Endpoint, receiver: Receiver
    ) -> None:
        rows = [WebhookDeliveryFactory.create(endpoint=endpoint) for _ in range(20)]

        outcomes = at_once(*[sending.send_due] * 6)
        while sending.send_due():
            pass

        assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert sorted(request.id for request in receiver.received) == sorted(row.message_id for row in rows)
        assert receiver.at_once <= AT_ONCE
        assert Delivery.objects.filter(status="delivered").count() == 20

    def test_one_delivery_is_claimed_once(self, endpoint: Endpoint) -> None:
        WebhookDeliveryFactory.create(endpoint=endpoint)
        claimed = [row for row in at_once(*[partial(outbox.claim)] * 8) if row is not None]
        assert len(claimed) == 1
        assert isinstance(claimed[0], Delivery)


def test_what_ended_long_ago_is_forgotten(endpoint: Endpoint) -> None:
    now = timezone.now()
    WebhookDeliveryFactory.create(
        endpoint=endpoint, status="delivered", finished_at=now - outbox.KEPT - timedelta(minutes=1)
    )
    kept = WebhookDeliveryFactory.create(endpoint=endpoint, status="delivered", finished_at=now)
    assert outbox.purge(now) == 1
    assert Delivery.objects.get() == kept
