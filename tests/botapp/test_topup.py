"""Topping up by card and SBP in the chat, with a real stand-in of the shop: what is promised is credited."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from botapp import patience, updates
from botapp.models import IncomingUpdate
from payments.models import Package, Payment, PaymentStatus
from payments.services import confirm_payment
from qwenedit.users.models import User
from tests.botapp.editing import balance
from tests.botapp.incoming import press
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.servers import YooKassaServer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _packages(db: None) -> None:
    call_command("load_packages", stdout=StringIO())


def pay(talk: Talk, yookassa: YooKassaServer) -> Payment:
    """Pay the newest payment at the shop."""
    payment = Payment.objects.latest("pk")
    yookassa.do("pay", payment_id=payment.gateway_id)
    return payment


def url_of(talk: Talk) -> str:
    """Return the address behind the newest message's button."""
    (url,) = (button["url"] for row in talk.last["buttons"] for button in row if "url" in button)
    return str(url)


def pressed(talk: Talk, data: str) -> None:
    """Answer a press of a button that the newest message does not have."""
    user = User.objects.get(telegram_id=talk.user_id)
    updates.handle_update(press(user, data, message_id=talk.last["message_id"]))


def again_later(talk: Talk) -> None:
    """Let what was put off be tried again."""
    now = timezone.now()
    IncomingUpdate.objects.open().update(next_try_at=now)
    updates.sweep(now)


def test_from_the_packages_to_the_points(talk: Talk, yookassa: YooKassaServer, workers: Workers) -> None:
    talk.do("message", text="/topup")
    assert "You have 60 points" in talk.text
    assert talk.labels[:4] == [
        "100 ₽ → 1000 points",
        "300 ₽ → 3000 points",
        "500 ₽ → 5250 points (+5 %)",
        "1000 ₽ → 10700 points (+7 %)",
    ]

    talk.tap("500 ₽ → 5250 points (+5 %)")
    assert "500 ₽ → 5250 points" in talk.text
    assert talk.labels[:3] == ["💳 Card, 500 ₽", "📱 SBP, 500 ₽", "⭐ Telegram Stars, 334"]

    talk.tap("💳 Card, 500 ₽")
    assert talk.labels[:2] == ["Pay 500 ₽", "🔄 Check the payment"]
    assert url_of(talk) == Payment.objects.get().confirmation_url

    talk.tap("🔄 Check the payment")
    assert "has not come yet" in talk.toasts[-1]

    payment = pay(talk, yookassa)
    talk.tap("🔄 Check the payment")
    assert talk.toasts[-1] == "✅ Paid: the points are on your balance."
    workers.send()
    news = [words for words in talk.telegram.words(talk.user_id) if "points" in words]
    assert news == ["✅ Your payment arrived: +5250 points. You have 5310 points now."]
    payment.refresh_from_db()
    assert (payment.status, payment.points, balance(talk)) == (PaymentStatus.SUCCEEDED, 5250, 5310)


def test_what_staff_changes_is_what_the_button_says_and_what_is_credited(
    talk: Talk, yookassa: YooKassaServer
) -> None:
    Package.objects.filter(rubles=100).update(bonus_percent=50)
    Package.objects.filter(rubles=300).update(is_active=False)
    talk.do("message", text="/topup")
    assert talk.labels[:2] == ["100 ₽ → 1500 points (+50 %)", "500 ₽ → 5250 points (+5 %)"]
    talk.tap("100 ₽ → 1500 points (+50 %)")
    talk.tap("📱 SBP, 100 ₽")
    pay(talk, yookassa)
    talk.tap("🔄 Check the payment")
    assert balance(talk) == 1560


@pytest.mark.parametrize("typed", ["250", " 250 ₽", "2 50 rubles", "250 руб."])
def test_a_sum_of_ones_own(talk: Talk, yookassa: YooKassaServer, typed: str) -> None:
    talk.do("message", text="/topup")
    talk.tap("✏️ Another sum")
    assert "from 1 to 10000" in talk.text
    talk.do("message", text=typed)
    assert "250 ₽ → 2500 points" in talk.text
    talk.tap("💳 Card, 250 ₽")
    assert Payment.objects.get().amount == 25_000


@pytest.mark.parametrize("typed", ["0", "10001", "-5", "100.50", "ten", "1e3", "٢٥٠", "9" * 40, "💰"])
def test_a_sum_that_can_not_be_is_asked_for_again(talk: Talk, typed: str) -> None:
    talk.do("message", text="/topup")
    talk.tap("✏️ Another sum")
    talk.do("message", text=typed)
    assert "whole number of rubles from 1 to 10000" in talk.text
    talk.do("message", text="100")
    assert "100 ₽ → 1000 points" in talk.text


def test_whoever_tops_up_in_the_middle_of_an_edit_finds_their_photo_again(talk: Talk, photo: str) -> None:
    talk.do("photo", data=photo)
    chosen = talk.last
    talk.do("message", text="/topup")
    talk.tap("✏️ Another sum")
    talk.do("message", text="300")
    draft = User.objects.get(telegram_id=talk.user_id).chat.draft
    assert len(draft["photos"]) == 1
    assert chosen["buttons"]


class TestTheReceipt:
    """Where the shop sends receipts, an address is asked for once."""

    @pytest.fixture(autouse=True)
    def _with_receipts(self, settings: Any) -> None:
        settings.RECEIPT_REQUIRED = True

    def test_the_address_is_asked_for_and_remembered(self, talk: Talk, yookassa: YooKassaServer) -> None:
        talk.do("message", text="/topup")
        talk.tap("100 ₽ → 1000 points")
        talk.tap("💳 Card, 100 ₽")
        assert "e-mail" in talk.text
        talk.do("message", text="not an address")
        assert "does not look like an e-mail" in talk.text
        talk.do("message", text="alice@example.org")
        assert "The receipt will go to alice@example.org." in talk.text
        assert User.objects.get(telegram_id=talk.user_id).email == "alice@example.org"

        talk.do("message", text="/topup")
        talk.tap("300 ₽ → 3000 points")
        talk.tap("💳 Card, 300 ₽")
        assert Payment.objects.latest("pk").email == "alice@example.org"
        assert Payment.objects.count() == 2

    def test_another_address_can_be_given(self, talk: Talk, yookassa: YooKassaServer) -> None:
        User.objects.filter(telegram_id=talk.user_id).update(email="old@example.org")
        talk.do("message", text="/topup")
        talk.tap("100 ₽ → 1000 points")
        talk.tap("💳 Card, 100 ₽")
        assert "old@example.org" in talk.text
        talk.tap("✉️ Another address for the receipt")
        talk.do("message", text="new@example.org")
        assert "new@example.org" in talk.text
        assert Payment.objects.latest("pk").email == "new@example.org"


class TestTrouble:
    """Told honestly, and nothing is charged."""

    def choose_card(self, talk: Talk) -> None:
        talk.do("message", text="/topup")
        talk.tap("100 ₽ → 1000 points")
        talk.tap("💳 Card, 100 ₽")

    def test_a_shop_that_does_not_answer(self, talk: Talk, yookassa: YooKassaServer) -> None:
        yookassa.do("fault", fault="error", count=1, method="POST")
        self.choose_card(talk)
        assert "does not answer" in talk.text
        talk.tap("🔄 Try again")
        assert url_of(talk)

    def test_a_shop_that_refuses(self, talk: Talk, yookassa: YooKassaServer) -> None:
        yookassa.do("fault", fault="forbidden", count=1, method="POST")
        self.choose_card(talk)
        assert "did not take this payment" in talk.text
        assert Payment.objects.get().status == PaymentStatus.REJECTED

    def test_a_shop_that_does_not_say_whether_it_was_paid(self, talk: Talk, yookassa: YooKassaServer) -> None:
        self.choose_card(talk)
        yookassa.do("fault", fault="error", count=1, method="GET")
        talk.tap("🔄 Check the payment")
        assert "does not answer at the moment" in talk.toasts[-1]

    def test_a_payment_that_was_declined(self, talk: Talk, yookassa: YooKassaServer) -> None:
        self.choose_card(talk)
        yookassa.do("expire", payment_id=Payment.objects.get().gateway_id)
        talk.tap("🔄 Check the payment")
        assert "did not go through" in talk.text
        talk.tap("🔄 Try again")
        assert "100 ₽ → 1000 points" in talk.text

    def test_too_many_in_a_while(
        self, talk: Talk, yookassa: YooKassaServer, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.PAYMENT_RATE_LIMIT = "2/d"  # counted by the clock: a window seldom ends in between
        monkeypatch.setattr(patience, "LONGEST_IN_SECONDS", 86_400)
        for _ in range(3):
            self.choose_card(talk)
        assert re.fullmatch(r"Too often\. Please try again in \d+ seconds?\.", talk.text)
        assert Payment.objects.count() == 2

    def test_without_the_cache_payments_wait(
        self, talk: Talk, yookassa: YooKassaServer, settings: Any, tmp_path: Any
    ) -> None:
        settings.CACHES = {
            "default": {**settings.CACHES["default"], "LOCATION": f"unix://{tmp_path}/nobody.sock"}
        }
        self.choose_card(talk)
        assert "does not answer" in talk.text
        assert not Payment.objects.exists()

    def test_an_update_that_is_answered_again_makes_one_payment(
        self, talk: Talk, yookassa: YooKassaServer
    ) -> None:
        talk.do("message", text="/topup")
        talk.tap("100 ₽ → 1000 points")
        talk.telegram.fault(method="editMessageText", code=500, times=1)
        talk.tap("💳 Card, 100 ₽")
        again_later(talk)
        assert Payment.objects.count() == 1
        assert url_of(talk)

    def test_somebody_elses_payment_is_none_of_theirs(self, talk: Talk, top_up: Any, bob: User) -> None:
        payment = top_up(user=bob)
        confirm_payment(payment_id=payment.pk, remote_id=str(payment.gateway_id))
        talk.do("message", text="/topup")
        pressed(talk, f"check:{payment.pk}")
        assert not any("Paid" in words for words in talk.telegram.words(talk.user_id))

    @pytest.mark.parametrize(
        "data", ["pay:0", "pay:x", "pay", "with:cash:100", "with", "with:card:0", "check:x"]
    )
    def test_a_button_from_another_time_leads_on(self, talk: Talk, data: str) -> None:
        talk.do("message", text="/topup")
        pressed(talk, data)
        assert not Payment.objects.exists()
        assert "Top up" in talk.text

    def test_ways_that_are_switched_off_are_not_offered(self, talk: Talk, settings: Any) -> None:
        settings.YOOKASSA_ENABLED = False
        talk.do("message", text="/topup")
        talk.tap("100 ₽ → 1000 points")
        assert talk.labels[0].startswith("⭐")
        settings.STARS_ENABLED = False
        talk.do("message", text="/topup")
        assert "closed" in talk.text
