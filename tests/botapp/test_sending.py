"""Several senders at once: threads, processes, and workers that are killed in the middle of it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from botapp import outbox
from botapp.models import Chat, Delivery, DeliveryStatus, Lane
from botapp.outbox import pace, sending
from payments import ledger
from payments.models import LedgerEntry
from qwenedit.users.models import User
from tests.botapp import second_process
from tests.factories import UserFactory
from tests.flows.processes import ServiceProcess
from tests.telegram import Telegram
from tests.threads import at_once, errors
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]

SEND_DUE = "from botapp.outbox import sending; print(sending.send_due())"


@pytest.fixture
def crowd(meet: Callable[[User], Chat]) -> Callable[[int], list[Chat]]:
    """Let so many people start the bot."""
    return lambda count: [meet(user) for user in UserFactory.create_batch(count)]


def owe_all(chats: list[Chat], lane: Lane, *, each: int = 1) -> None:
    """Owe every chat news of a bonus, in the lane named."""
    kind = LedgerEntry.Kind.REFERRAL if lane != Lane.BULK else LedgerEntry.Kind.WEEKLY_BONUS
    for number in range(each):
        for chat in chats:
            key = f"test:{lane}:{chat.pk}:{number}"
            entry = ledger.post(user_id=chat.user_id, amount=10, kind=kind, key=key).entry
            Delivery.objects.create(
                chat_id=chat.pk,
                kind="bonus" if lane == Lane.BULK else "referral",
                lane=lane,
                key=key,
                subject=entry.pk,
            )


def statuses() -> dict[str, int]:
    return dict(Counter(Delivery.objects.values_list("status", flat=True)))


def each_got(telegram: Telegram, chats: list[Chat]) -> set[int]:
    """Return how many messages people have got."""
    return {len(telegram.said(chat.pk)) for chat in chats}


@pytest.mark.postgres
def test_senders_at_once_send_every_delivery_once(
    telegram: Telegram, crowd: Callable[[int], list[Chat]], postgres_url: str, settings: Any
) -> None:
    settings.BOT_MESSAGES_PER_SECOND = 1000
    chats = crowd(30)
    owe_all(chats, Lane.RESULTS)
    environment = {"DATABASE_URL": postgres_url, "BOT_MESSAGES_PER_SECOND": "1000"}
    other = second_process.start(SEND_DUE, telegram_url=telegram.url, **environment)

    taken = at_once(*[sending.send_due] * 6)

    theirs = int(other.communicate(timeout=60)[0])
    assert errors(taken) == []
    assert sum(taken) + theirs == 30  # type: ignore[arg-type]
    assert statuses() == {"sent": 30}
    assert each_got(telegram, chats) == {1}
    assert len(telegram.calls("sendMessage")) == 30


@pytest.mark.postgres
def test_claims_at_once_never_overlap(crowd: Callable[[int], list[Chat]]) -> None:
    owe_all(crowd(20), Lane.BULK)

    claims = at_once(*[lambda: outbox.claim(sending.BULK, most=5)] * 6)

    assert errors(claims) == []
    taken = [row.pk for claim in claims if isinstance(claim, outbox.Claim) for row in claim.deliveries]
    assert len(taken) == len(set(taken)) == 20


def test_after_a_retry_after_every_process_keeps_silent(
    telegram: Telegram, alice_chat: Chat, bob_chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MOMENT", 120.0)  # the other process has to start in it
    telegram.fault(method="sendMessage", code=429, retry_after=120, chat_id=alice_chat.pk)
    owe_all([alice_chat], Lane.RESULTS, each=2)
    assert sending.send_due() == 1
    owe_all([bob_chat], Lane.RESULTS)

    code = """
from botapp import outbox; from botapp.outbox import sending; from django.utils import timezone
print(outbox.is_due(sending.URGENT, timezone.now()), sending.send_due())
"""
    assert second_process.run(code, telegram_url=telegram.url) == "True 0"

    assert statuses() == {"pending": 3}
    assert [call["status"] for call in telegram.calls("sendMessage")] == [429]


def test_a_retry_after_is_obeyed_by_its_chat_and_others_wait_a_moment(
    telegram: Telegram, alice_chat: Chat, bob_chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MOMENT", 5.0)
    telegram.fault(method="sendMessage", code=429, retry_after=20, chat_id=alice_chat.pk)
    owe_all([alice_chat], Lane.RESULTS, each=2)
    assert sending.send_due() == 1
    owe_all([bob_chat], Lane.RESULTS)

    deadline = time.monotonic() + 80
    while statuses() != {"sent": 3}:
        sending.send_due()
        time.sleep(0.2)  # the beat's tick
        assert time.monotonic() < deadline
    refused, *later = telegram.calls("sendMessage", chat_id=alice_chat.pk)
    [to_bob] = telegram.calls("sendMessage", chat_id=bob_chat.pk)
    assert (refused["status"], [call["status"] for call in later]) == (429, [200, 200])
    assert later[0]["at"] - refused["at"] >= 20.0
    assert pace.MOMENT - 0.1 <= to_bob["at"] - refused["at"] < 20.0
    assert sorted(Delivery.objects.values_list("tries", flat=True)) == [1, 1, 2]


@pytest.mark.postgres
def test_results_are_not_held_up_by_bulk(
    telegram: Telegram, crowd: Callable[[int], list[Chat]], settings: Any
) -> None:
    settings.BOT_MESSAGES_PER_SECOND = 20
    many, few = crowd(60), crowd(5)
    owe_all(many, Lane.BULK, each=3)
    bulk = threading.Thread(target=lambda: (sending.send_bulk(), connections.close_all()))
    bulk.start()
    try:
        wait_until(lambda: len(telegram.calls("sendMessage")) > 10)
        owe_all(few, Lane.RESULTS)
        sending.send_due()
        bulk_left = Delivery.objects.unfinished().filter(lane=Lane.BULK).count()
    finally:
        bulk.join()

    assert each_got(telegram, few) == {1}
    assert bulk_left > 180 / 2, "results went past most of what had been waiting before them"


class TestAWorkerThatIsKilled:
    @pytest.fixture
    def worker(self, telegram: Telegram) -> Iterator[Callable[[], ServiceProcess]]:
        """Start workers that talk to the sandbox; they are ended with the test."""
        started: list[ServiceProcess] = []

        def start() -> ServiceProcess:
            process = ServiceProcess("worker", TELEGRAM_API_URL=telegram.url)
            started.append(process.__enter__())
            return started[-1]

        yield start
        for process in started:
            process.__exit__(None, None, None)

    @pytest.mark.timeout(240)
    @pytest.mark.parametrize("lane", [Lane.RESULTS, Lane.BULK])
    def test_loses_no_delivery_and_doubles_no_notice(
        self,
        lane: Lane,
        telegram: Telegram,
        crowd: Callable[[int], list[Chat]],
        worker: Callable[[], ServiceProcess],
    ) -> None:
        chats = crowd(12)
        telegram.fault(method="sendMessage", times=None, delay=1.5)
        owe_all(chats, lane)
        first = worker()
        publish("send_bulk" if lane == Lane.BULK else "send_due")
        wait_until(lambda: Delivery.objects.filter(status=DeliveryStatus.SENT).count() >= 1, timeout=60)
        first.kill()
        left = Delivery.objects.exclude(status=DeliveryStatus.SENT).count()
        assert left > 0
        telegram.clear_faults()

        worker()
        deadline = timezone.now() + outbox.LEASE + timedelta(seconds=40)
        while Delivery.objects.unfinished().exists():
            assert timezone.now() < deadline
            publish("send_bulk" if lane == Lane.BULK else "send_due")
            time.sleep(1.0)  # the beat's own tick

        found = statuses()
        got = each_got(telegram, chats)
        if lane == Lane.BULK:
            assert got <= {0, 1}, "a notice is sent at most once"
            # What was under way when the worker died is not sent again, whether it had arrived or not.
            assert found["sent"] + found.get("failed", 0) == 12
            missed = sum(not telegram.said(chat.pk) for chat in chats)
            assert missed <= found.get("failed", 0) <= sending.BULK_AT_ONCE
        else:
            assert found == {"sent": 12}
            assert got <= {1, 2}


def publish(task: str) -> None:
    """Send a wake-up as the beat does."""
    from celery import current_app

    current_app.send_task(f"botapp.tasks.{task}")
