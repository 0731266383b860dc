"""What becomes of an invoice: paid, refunded.

Owns: charges and the messages that tell of them. Must not know who asked.
"""

import secrets
import time
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.chats import USER
from qwenedit.sandbox.telegram.records import Charge, Message, Person

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

CURRENCY = "XTR"
ALREADY_PAID = "the invoice has already been paid"
DECLINED = "the bot did not answer the pre-checkout query in time"


async def pay(
    sandbox: "Sandbox", person: Person, invoice: dict[str, Any], message: Message | None
) -> dict[str, Any]:
    """Let a person pay an invoice; return what came of it, as the action `pay` answers."""
    query = sandbox.checkouts.ask(person.id)
    asked = {
        "id": query.id,
        "from": person.user(),
        "currency": CURRENCY,
        "total_amount": invoice["stars"],
        "invoice_payload": invoice["payload"],
    }
    sandbox.updates.add("pre_checkout_query", asked, person.id)
    sandbox.flush()
    answer = await query.wait()
    if answer is None:
        return {"ok": False, "error": DECLINED}
    if not answer["ok"]:
        return {"ok": False, "error": answer["error"]}
    if message is not None and message.invoice is not None and message.invoice["paid"]:
        return {"ok": False, "error": ALREADY_PAID}
    return {"ok": True, "telegram_payment_charge_id": _charge(sandbox, person, invoice, message).key}


def refund(sandbox: "Sandbox", charge: Charge) -> int | None:
    """Give a charge back, and tell of it in the chat; return the number of the update."""
    charge.refunded_at = int(time.time())
    sandbox.store.charges.save(charge)
    person = sandbox.chats.person(charge.user_id)
    if person is None:
        return None
    told = {
        "currency": CURRENCY,
        "total_amount": charge.stars,
        "invoice_payload": charge.payload,
        "telegram_payment_charge_id": charge.key,
    }
    return _tell(sandbox, person, {"refunded_payment": told})


def _charge(sandbox: "Sandbox", person: Person, invoice: dict[str, Any], message: Message | None) -> Charge:
    now = int(time.time())
    period = invoice.get("subscription_period")
    charge = Charge(
        key=f"stx{secrets.token_urlsafe(60)}",
        user_id=person.id,
        payload=invoice["payload"],
        stars=invoice["stars"],
        date=now,
        subscription_until=now + period if period else None,
    )
    sandbox.store.charges.save(charge)
    if message is not None:
        message.invoice = invoice | {"paid": True}
        sandbox.chats.changed(message)
    told: dict[str, Any] = {
        "currency": CURRENCY,
        "total_amount": charge.stars,
        "invoice_payload": charge.payload,
        "telegram_payment_charge_id": charge.key,
        "provider_payment_charge_id": f"{person.id}_{secrets.randbelow(10**9)}",
    }
    if charge.subscription_until is not None:
        until = {"subscription_expiration_date": charge.subscription_until}
        told |= {"is_recurring": True, "is_first_recurring": True} | until
    _tell(sandbox, person, {"successful_payment": told})
    return charge


def _tell(sandbox: "Sandbox", person: Person, content: dict[str, Any]) -> int | None:
    chat = sandbox.chats.open(person.id)
    message = sandbox.chats.post(chat, USER, content, sender=person.user(), kind=next(iter(content)))
    return sandbox.updates.add("message", message.body, chat.id)
