"""Deliveries: from the row that owes them to their end, whatever Telegram says to them."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from botapp import outbox
from botapp.models import Chat, Delivery, DeliveryStatus, Lane
from botapp.outbox import LeaseLost, NotYet, Pointless, owe, pace, sending
from botapp.outbox.news import SENDERS
from payments import ledger
from payments.models import LedgerEntry, PaymentStatus
from qwenedit.users.models import User
from tests.factories import PaymentFactory, UserFactory
from tests.telegram import Telegram
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Owe = Callable[..., Delivery]


@pytest.fixture
def owe_news(telegram: Telegram) -> Owe:
    """Owe a chat news of a payment that is there, in the lane named."""

    def owe_news(chat: Chat, *, lane: Lane = Lane.MONEY, key: str = "") -> Delivery:
        payment = PaymentFactory.create(user=chat.user, status=PaymentStatus.SUCCEEDED)
        key = key or f"payment:{payment.pk}"
        owe(chat_id=chat.pk, kind="payment", lane=lane, key=key, subject=payment.pk)
        return Delivery.objects.get(key=key)

    return owe_news


@pytest.fixture
def owe_notice(telegram: Telegram) -> Owe:
    """Owe a chat a notice of its weekly bonus."""

    def owe_notice(chat: Chat) -> Delivery:
        key = f"bonus:weekly:2026-W48:{chat.user_id}"
        kind = LedgerEntry.Kind.WEEKLY_BONUS
        entry = ledger.post(user_id=chat.user_id, amount=10, kind=kind, key=key).entry
        owe(chat_id=chat.pk, kind="bonus", lane=Lane.BULK, key=key, subject=entry.pk)
        return Delivery.objects.get(key=key)

    return owe_notice


def hurry() -> None:
    """Let the time come of whatever waits, and of every chat."""
    pace._shared().set(f"{pace.PREFIX}all", 0)
    for chat_id in Chat.objects.values_list("pk", flat=True):
        pace._shared().set(f"{pace.PREFIX}chat:{chat_id}", 0)
    Delivery.objects.unfinished().update(next_try_at=timezone.now())


def now_of(delivery: Delivery) -> Delivery:
    delivery.refresh_from_db()
    return delivery


def test_what_is_owed_is_sent_once_and_its_message_is_known(
    telegram: Telegram, alice_chat: Chat, owe_news: Owe
) -> None:
    delivery = owe_news(alice_chat)

    assert sending.send_due() == 1
    assert sending.send_due() == 0

    [message] = telegram.said(alice_chat.pk)
    assert message["text"] == "✅ Your payment arrived: +1000 points. You have 1060 points now."
    now_of(delivery)
    assert (delivery.status, delivery.message_id, delivery.tries) == ("sent", message["message_id"], 1)
    assert delivery.finished_at is not None
    assert delivery.lease_token is None


def test_its_words_are_in_the_language_that_the_person_reads_now(
    telegram: Telegram, bob_chat: Chat, owe_news: Owe
) -> None:
    owe_news(bob_chat)

    sending.send_due()

    assert telegram.words(bob_chat.pk) == ["✅ Оплата получена: +1000 баллов. Теперь у вас 1060 баллов."]


def test_one_cause_is_owed_once_and_nothing_is_owed_for_what_was_rolled_back(
    alice_chat: Chat, owe_news: Owe
) -> None:
    first = owe_news(alice_chat, key="cause")
    owe(chat_id=alice_chat.pk, kind="bonus", lane=Lane.BULK, key="cause")
    with transaction.atomic():
        owe_news(alice_chat, key="undone")
        transaction.set_rollback(True)

    assert list(Delivery.objects.values_list("pk", "kind")) == [(first.pk, "payment")]


def test_results_go_before_money_and_money_before_bulk(
    telegram: Telegram, meet: Callable[[User], Chat], owe_news: Owe
) -> None:
    lanes = [Lane.BULK, Lane.MONEY, Lane.RESULTS, Lane.MONEY]
    chats = [meet(user) for user in UserFactory.create_batch(4)]
    for chat, lane in zip(chats, lanes, strict=True):
        owe_news(chat, lane=lane)

    assert sending.send_due() == 3
    assert sending.send_bulk() == 1

    order = [call["chat_id"] for call in telegram.calls("sendMessage")]
    assert order == [chats[number].pk for number in (2, 1, 3, 0)]


def test_somebody_who_blocked_the_bot_is_gone_and_spared_all_bulk(
    telegram: Telegram, alice_chat: Chat, bob_chat: Chat, owe_news: Owe, owe_notice: Owe
) -> None:
    telegram.act("block", user_id=alice_chat.pk)
    refused, notice, others = owe_news(alice_chat), owe_notice(alice_chat), owe_notice(bob_chat)

    sending.send_due()

    alice_chat.refresh_from_db()
    assert alice_chat.gone_at is not None
    assert (now_of(refused).status, refused.failure) == (
        "failed",
        "Forbidden: bot was blocked by the user",
    )
    assert (now_of(notice).status, notice.failure) == ("cancelled", refused.failure)
    assert notice.finished_at is not None
    assert now_of(others).status == "pending"


def test_bulk_that_was_written_for_somebody_who_is_gone_is_cancelled_unsent(
    telegram: Telegram, alice_chat: Chat, owe_notice: Owe
) -> None:
    notice = owe_notice(alice_chat)
    Chat.objects.update(gone_at=timezone.now())

    sending.send_bulk()

    assert now_of(notice).status == "cancelled"
    assert telegram.calls("sendMessage") == []


def test_a_chat_that_telegram_does_not_know_is_gone(telegram: Telegram, alice: User, owe_news: Owe) -> None:
    chat = Chat.objects.create(pk=4242, user=alice)
    delivery = owe_news(chat)

    sending.send_due()

    chat.refresh_from_db()
    assert chat.gone_at is not None
    assert (now_of(delivery).status, delivery.failure) == ("failed", "Chat not found")


def test_what_telegram_refuses_fails_with_its_reason(
    telegram: Telegram, alice_chat: Chat, owe_news: Owe
) -> None:
    telegram.fault(method="sendMessage", code=400, description="Bad Request: message is too long")
    delivery = owe_news(alice_chat)

    sending.send_due()

    assert (now_of(delivery).status, delivery.failure) == ("failed", "refused: Message is too long")
    alice_chat.refresh_from_db()
    assert alice_chat.gone_at is None


@pytest.mark.parametrize("code", [500, 502])
def test_what_fails_at_telegram_is_tried_again_after_growing_pauses(
    code: int, telegram: Telegram, alice_chat: Chat, owe_news: Owe, monkeypatch: pytest.MonkeyPatch
) -> None:
    postpone = outbox.postpone

    def hours_for_seconds(delivery: Delivery, seconds: float, **more: bool) -> None:
        postpone(delivery, seconds * 3600, **more)

    # A pause of one second would be over before a busy machine has looked at it.
    monkeypatch.setattr(outbox, "postpone", hours_for_seconds)
    telegram.fault(method="sendMessage", code=code, times=3)
    delivery = owe_news(alice_chat)
    waits = []
    for _try in range(3):
        assert sending.send_due() == 1
        assert now_of(delivery).status == "pending"
        waits.append(ceil((delivery.next_try_at - timezone.now()) / timedelta(hours=1)))
        hurry()

    sending.send_due()

    assert (waits, now_of(delivery).status, delivery.tries) == ([1, 3, 10], "sent", 4)
    assert len(telegram.said(alice_chat.pk)) == 1


@pytest.mark.parametrize(("lane", "tries"), [(Lane.MONEY, 100), (Lane.BULK, 7)])
def test_nothing_is_tried_for_ever(
    lane: Lane, tries: int, telegram: Telegram, alice_chat: Chat, owe_news: Owe
) -> None:
    telegram.fault(method="sendMessage", code=500, times=None)
    delivery = owe_news(alice_chat, lane=lane)
    Delivery.objects.update(tries=tries - 2)

    for _try in range(3):
        sending.send_due()
        sending.send_bulk()
        hurry()

    assert (now_of(delivery).status, delivery.tries) == ("failed", tries)
    assert "Internal Server Error" in delivery.failure


@pytest.mark.parametrize("arrived", [True, False])
def test_money_that_may_have_been_told_is_not_told_again_but_the_balance_is(
    arrived: bool, telegram: Telegram, alice_chat: Chat, owe_news: Owe
) -> None:
    telegram.fault(method="sendMessage", drop=True, processed=arrived)
    delivery = owe_news(alice_chat)

    sending.send_due()
    hurry()
    sending.send_due()

    assert now_of(delivery).status == "sent"
    said = telegram.words(alice_chat.pk)
    assert said[-1] == "💰 You have 1060 points now: every payment, refund and bonus is counted."
    assert ["Your payment arrived" in words for words in said[:-1]] == [True] * arrived


def test_a_notice_is_not_sent_twice_where_nobody_knows_whether_it_arrived(
    telegram: Telegram, alice_chat: Chat, owe_notice: Owe
) -> None:
    telegram.fault(method="sendMessage", processed=True, drop=True)
    notice = owe_notice(alice_chat)

    sending.send_bulk()
    assert (now_of(notice).status, notice.is_begun) == ("pending", True)
    hurry()
    sending.send_bulk()

    assert (now_of(notice).status, notice.failure) == ("failed", "nobody knows whether it arrived")
    assert len(telegram.said(alice_chat.pk)) == 1


def test_a_notice_whose_call_never_left_is_sent_later(
    telegram: Telegram, alice_chat: Chat, owe_notice: Owe, settings: Any
) -> None:
    notice = owe_notice(alice_chat)
    settings.SANDBOX_TELEGRAM_URL = "http://127.0.0.1:9"
    sending.send_bulk()
    assert (now_of(notice).status, notice.is_begun) == ("pending", False)
    settings.SANDBOX_TELEGRAM_URL = telegram.url
    hurry()

    sending.send_bulk()

    assert now_of(notice).status == "sent"
    assert len(telegram.said(alice_chat.pk)) == 1


def test_a_notice_of_long_ago_is_no_news(telegram: Telegram, alice_chat: Chat, owe_notice: Owe) -> None:
    notice = owe_notice(alice_chat)
    entries = LedgerEntry.objects.filter(pk=notice.subject)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botapp.outbox.news.BONUS_IS_NEWS_FOR", timedelta(0))
        sending.send_bulk()

    assert entries.exists()
    assert (now_of(notice).status, notice.failure) == ("cancelled", "no news any more")
    assert telegram.calls("sendMessage") == []


def test_a_sender_that_asks_for_time_has_not_failed(
    alice_chat: Chat, owe_news: Owe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_yet(_delivery: Delivery) -> int:
        raise NotYet(40)

    monkeypatch.setitem(SENDERS, "payment", not_yet)
    delivery = owe_news(alice_chat)

    sending.send_due()

    assert (now_of(delivery).status, delivery.tries) == ("pending", 0)
    assert 38 < (delivery.next_try_at - timezone.now()).total_seconds() <= 40


def test_what_became_pointless_is_cancelled(
    alice_chat: Chat, owe_news: Owe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pointless(_delivery: Delivery) -> int:
        raise Pointless("the edit was deleted")

    monkeypatch.setitem(SENDERS, "payment", pointless)
    delivery = owe_news(alice_chat)

    sending.send_due()

    assert (now_of(delivery).status, delivery.failure) == ("cancelled", "the edit was deleted")


def test_a_mistake_of_ours_is_given_up_soon_and_holds_up_nobody(
    telegram: Telegram, alice_chat: Chat, bob_chat: Chat, owe_news: Owe
) -> None:
    broken, fine = owe_news(alice_chat), owe_news(bob_chat)
    Delivery.objects.filter(pk=broken.pk).update(subject=987_654)

    for _try in range(6):
        sending.send_due()
        hurry()

    assert now_of(fine).status == "sent"
    assert (now_of(broken).status, broken.tries) == ("failed", 5)
    assert broken.failure == "a mistake of ours: DoesNotExist"


def test_whoever_lost_the_lease_changes_nothing(alice_chat: Chat, owe_news: Owe) -> None:
    owe_news(alice_chat)
    claim = outbox.claim(sending.URGENT, most=1)
    assert claim is not None
    [mine] = claim.deliveries
    Delivery.objects.update(lease_token=uuid.uuid4())

    for change in (
        lambda: outbox.begin(mine),
        lambda: outbox.finish(mine, DeliveryStatus.SENT),
        lambda: outbox.postpone(mine, 1, is_try=True, is_begun=False),
        lambda: outbox.chat_is_gone(mine, "blocked"),
    ):
        with pytest.raises(LeaseLost):
            change()

    assert Delivery.objects.get().status == "sending"
    alice_chat.refresh_from_db()
    assert alice_chat.gone_at is None


def test_a_slow_call_keeps_its_lease(
    telegram: Telegram, alice_chat: Chat, owe_news: Owe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "RENEW_EVERY", 0.2)
    delivery = owe_news(alice_chat)
    found: list[object] = []
    send = SENDERS["payment"]

    def await_renewal() -> None:
        lease_until = now_of(delivery).next_try_at
        wait_until(lambda: now_of(delivery).next_try_at > lease_until)

    def slow(delivery: Delivery) -> int | None:
        await_renewal()
        await_renewal()
        found.append(outbox.claim(sending.URGENT, most=1))
        return send(delivery)

    monkeypatch.setitem(SENDERS, "payment", slow)
    sending.send_due()

    assert found == [None]
    assert now_of(delivery).status == "sent"


def test_what_failed_is_sent_again_at_somebodys_wish(
    telegram: Telegram, alice_chat: Chat, owe_news: Owe
) -> None:
    telegram.fault(method="sendMessage", code=400)
    delivery = owe_news(alice_chat)
    sending.send_due()

    assert outbox.send_again(Delivery.objects.all()) == 1
    hurry()
    sending.send_due()

    assert (now_of(delivery).status, delivery.failure) == ("sent", "")
    assert outbox.send_again(Delivery.objects.all()) == 0


def test_deliveries_that_ended_long_ago_are_forgotten(
    alice_chat: Chat, owe_news: Owe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PURGE_BATCH", 2)
    ages = {owe_news(alice_chat).pk: days for days in (31, 31, 31, 29)}
    waiting = owe_news(alice_chat)
    for pk, days in ages.items():
        ended = timezone.now() - timedelta(days=days)
        Delivery.objects.filter(pk=pk).update(status="sent", finished_at=ended)

    assert outbox.purge(timezone.now()) == 3

    kept = [pk for pk, days in ages.items() if days == 29]
    assert set(Delivery.objects.values_list("pk", flat=True)) == {*kept, waiting.pk}
