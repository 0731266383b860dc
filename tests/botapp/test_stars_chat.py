"""Stars in the chat, as a person pays them: the invoice, the yes or no, the points, the refund."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.utils import timezone

import payments.audit
from botapp.models import Delivery
from payments.models import Discrepancy, Payment, PaymentStatus, Refund
from payments.services import LIFETIME
from qwenedit.users.models import User
from tests.botapp.editing import balance
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.telegram import Telegram
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db


def buy(talk: Talk, rubles: int = 100) -> Payment:
    """Ask for an invoice over so many rubles."""
    talk.do("message", text="/topup")
    talk.tap("✏️ Another sum")
    talk.do("message", text=str(rubles))
    talk.tap(next(label for label in talk.labels if label.startswith("⭐")))
    return Payment.objects.latest("pk")


def pay(talk: Talk, **invoice: Any) -> dict[str, Any]:
    """Pay the newest invoice, while the bot answers."""
    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(talk.telegram.act, "pay", user_id=talk.user_id, **invoice)
        while not paying.done():
            talk.answer()
    talk.answer()
    return paying.result()


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
        assert "somebody else's" in pay(talk)["error"]

    def test_an_invoice_that_is_paid_already(self, talk: Talk) -> None:
        buy(talk)
        message_id = talk.last["message_id"]
        Payment.objects.update(status=PaymentStatus.SUCCEEDED)
        assert "paid already" in pay(talk, message_id=message_id)["error"]


class TestWhatDoesNotMatch:
    """The money is never lost."""

    def test_a_sum_that_differs_is_for_a_person_and_the_payer_is_told(self, talk: Talk) -> None:
        payment = buy(talk)
        paid = successful(talk, payment, total_amount=66)
        assert "something about it does not match" in talk.text
        assert Discrepancy.objects.get().gateway_id == paid
        assert balance(talk) == 60

    def test_whoever_was_blocked_while_paying_gets_the_points(self, talk: Talk) -> None:
        payment = buy(talk)
        User.objects.filter(telegram_id=talk.user_id).update(is_blocked=True)
        successful(talk, payment)
        assert balance(talk) == 1060

    def test_a_flood_of_messages_does_not_keep_it_out(self, talk: Talk, settings: Any) -> None:
        payment = buy(talk)
        settings.BOT_RATE_LIMIT = "1/h"
        talk.do("message", text="/menu")
        talk.do("message", text="/menu")
        successful(talk, payment)
        assert balance(talk) == 1060


def successful(talk: Talk, payment: Payment, **other: Any) -> str:
    """Let Telegram tell of a charge for an invoice; return the charge's id."""
    user = User.objects.get(telegram_id=talk.user_id)
    charge = {
        "currency": "XTR",
        "total_amount": payment.amount,
        "invoice_payload": str(payment.key),
        "telegram_payment_charge_id": "stx-1",
        "provider_payment_charge_id": "1_1",
    } | other
    person = {"id": user.telegram_id, "is_bot": False, "first_name": "Alice"}
    message = {
        "message_id": 990_000,
        "date": int(timezone.now().timestamp()),
        "chat": {"id": user.telegram_id, "type": "private"},
        "from": person,
        "successful_payment": charge,
    }
    talk.telegram.act("send_update", update={"update_id": 2_000_000_000, "message": message})
    talk.answer()
    return "stx-1"


def test_a_refund_made_elsewhere_takes_the_points_and_is_told_once(talk: Talk, workers: Workers) -> None:
    buy(talk)
    charge = pay(talk)["telegram_payment_charge_id"]
    talk.telegram.act("refund", telegram_payment_charge_id=charge)
    talk.answer()
    assert Refund.objects.get().is_external
    assert balance(talk) == 60
    wait_until(lambda: workers.send() or "67 ⭐ went back" in talk.text)
    assert [finding for finding in payments.audit.findings() if finding.broken] == []


def test_too_many_invoices_in_a_minute_are_slowed(talk: Talk, settings: Any) -> None:
    settings.PAYMENT_RATE_LIMIT = "1/m"
    buy(talk)
    buy(talk)
    assert "Too often" in talk.text
    assert Payment.objects.count() == 1


def test_an_invoice_that_telegram_does_not_take_is_told(talk: Talk) -> None:
    talk.telegram.fault(method="sendInvoice", code=400, description="Bad Request: STARS_INVOICE_INVALID")
    buy(talk)
    assert "did not take an invoice" in talk.text
    assert Payment.objects.get().status == PaymentStatus.PENDING
