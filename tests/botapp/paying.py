"""Stars in the chat as a person pays them, for tests that need somebody who did."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.utils import timezone

from payments.models import Payment
from qwenedit.users.models import User
from tests.botapp.talking import Talk


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
