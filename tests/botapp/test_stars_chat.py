"""Stars in the chat, as a person pays them: the invoice, the yes or no, the points, the refund."""

import asyncio
import threading
from typing import Any

import pytest
from django.utils import timezone

import payments.audit
from botapp import updates
from botapp.models import Delivery
from payments.models import Discrepancy, Payment, PaymentStatus, Refund
from payments.services import LIFETIME
from qwenedit.users.models import User
from tests.botapp.editing import balance
from tests.botapp.paying import buy, pay, successful
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.telegram import Telegram
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


def test_from_the_invoice_to_the_points(talk: Talk, workers: Workers) -> None:
    payment = buy(talk)
    invoice = talk.last["invoice"]
    assert (invoice["title"], invoice["stars"]) == ("1000 points", 67)

    paid = pay(talk)

    assert paid["ok"]
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.SUCCEEDED
    assert payment.gateway_id == paid["telegram_payment_charge_id"]
    assert balance(talk) == 1060
    workers.send()
    assert "Your payment arrived: +1000 points. You have 1060 points now." in talk.text


def test_an_update_that_is_delivered_again_credits_once(talk: Talk, workers: Workers) -> None:
    buy(talk)
    pay(talk)
    for _ in range(3):
        talk.telegram.act("redeliver")
        talk.answer()
    workers.send()
    assert balance(talk) == 1060
    assert Delivery.objects.filter(kind="payment").count() == 1
    assert Payment.objects.count() == 1


class TestBeforeItIsPaid:
    """The bot says no, with the reason, and nothing is charged."""

    def test_an_invoice_that_is_too_old(self, talk: Talk) -> None:
        payment = buy(talk)
        Payment.objects.filter(pk=payment.pk).update(created_at=timezone.now() - LIFETIME)
        refused = pay(talk)
        assert refused == {"ok": False, "error": refused["error"]}
        assert "too old" in refused["error"]
        assert balance(talk) == 60

    def test_stars_that_are_switched_off_meanwhile(self, talk: Talk, settings: Any) -> None:
        buy(talk)
        settings.STARS_ENABLED = False
        assert "not taken" in pay(talk)["error"]

    def test_somebody_who_was_blocked_meanwhile_in_their_language(self, talk: Talk) -> None:
        buy(talk)
        User.objects.filter(telegram_id=talk.user_id).update(is_blocked=True, language="ru")
        assert "заблокирован" in pay(talk)["error"]

    def test_an_invoice_of_somebody_else(self, talk: Talk, bob_chat: Any, telegram: Telegram) -> None:
        payment = buy(talk)
        User.objects.filter(telegram_id=talk.user_id).update(language="en")
        Payment.objects.filter(pk=payment.pk).update(user=bob_chat.user)
        assert "made out to somebody else" in pay(talk)["error"]

    def test_an_invoice_that_is_paid_already(self, talk: Talk) -> None:
        buy(talk)
        message_id = talk.last["message_id"]
        Payment.objects.update(status=PaymentStatus.SUCCEEDED)
        assert "paid already" in pay(talk, message_id=message_id)["error"]


@pytest.mark.django_db(transaction=True)
def test_a_payment_that_telegram_is_slow_to_take_the_answer_for_holds_nobody_up(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = buy(talk)
    kept = threading.Event()
    was_kept_first: list[bool] = []
    query_answer = updates.query_answer

    async def slow(*query: Any) -> bool:
        was_kept_first.append(await asyncio.to_thread(kept.wait, 60))
        return await query_answer(*query)

    monkeypatch.setattr(updates, "query_answer", slow)
    person = {"id": talk.user_id, "is_bot": False, "first_name": "Alice"}
    query = {"id": "1", "from": person, "currency": "XTR", "total_amount": payment.amount}

    updates.keep({"update_id": 7, "pre_checkout_query": query | {"invoice_payload": str(payment.key)}})

    assert talk.telegram.calls("answerPreCheckoutQuery") == []
    kept.set()
    wait_until(lambda: talk.telegram.calls("answerPreCheckoutQuery"))
    assert was_kept_first == [True]


class TestWhatDoesNotMatch:
    """The money is never lost."""

    def test_a_sum_that_differs_is_for_a_person_and_the_payer_is_told(
        self, talk: Talk, settings: Any
    ) -> None:
        settings.SUPPORT_CONTACT = "@qwen_help"
        payment = buy(talk)
        paid = successful(talk, payment, total_amount=66)
        assert "something about it does not match" in talk.text
        assert talk.text.endswith("Questions: @qwen_help")
        assert Discrepancy.objects.get().gateway_id == paid
        assert balance(talk) == 60

    def test_whoever_was_blocked_while_paying_gets_the_points(self, talk: Talk) -> None:
        payment = buy(talk)
        User.objects.filter(telegram_id=talk.user_id).update(is_blocked=True)
        successful(talk, payment)
        assert balance(talk) == 1060

    def test_a_flood_of_messages_does_not_keep_it_out(self, talk: Talk, settings: Any) -> None:
        payment = buy(talk)
        settings.BOT_RATE_LIMIT = "1/d"
        talk.do("message", text="/menu")
        talk.do("message", text="/menu")
        successful(talk, payment)
        assert balance(talk) == 1060


def test_a_refund_made_elsewhere_takes_the_points_and_is_told_once(talk: Talk, workers: Workers) -> None:
    buy(talk)
    charge = pay(talk)["telegram_payment_charge_id"]
    talk.telegram.act("refund", telegram_payment_charge_id=charge)
    talk.answer()
    assert Refund.objects.get().is_external
    assert balance(talk) == 60
    wait_until(lambda: workers.send() or "67 ⭐ went back" in talk.text)
    assert [finding for finding in payments.audit.findings() if finding.broken] == []


def test_too_many_invoices_are_slowed(talk: Talk, settings: Any) -> None:
    settings.PAYMENT_RATE_LIMIT = "1/d"  # counted by the clock: a window seldom ends in between
    buy(talk)
    buy(talk)
    assert "Too often" in talk.text
    assert Payment.objects.count() == 1


def test_an_invoice_that_telegram_does_not_take_is_told(talk: Talk) -> None:
    talk.telegram.fault(method="sendInvoice", code=400, description="Bad Request: STARS_INVOICE_INVALID")
    buy(talk)
    assert "did not take an invoice" in talk.text
    assert Payment.objects.get().status == PaymentStatus.PENDING
