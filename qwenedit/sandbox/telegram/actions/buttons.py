"""What people press: inline buttons and payments."""

import asyncio
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.actions import Action
from qwenedit.sandbox.telegram.actions.people import find_person
from qwenedit.sandbox.telegram.chats import BOT
from qwenedit.sandbox.telegram.markup import Button, every_button
from qwenedit.sandbox.telegram.queries import Query
from qwenedit.sandbox.telegram.records import Message, Person
from qwenedit.sandbox.telegram.stars import ALREADY_PAID
from qwenedit.sandbox.telegram.stars import pay as pay_invoice
from qwenedit.sandbox.telegram.stars import refund as refund_charge

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

LINK = "https://t.me/$"
MOST_TAPS = 100
CHAT_INSTANCE = 1_000_003


async def tap(
    sandbox: "Sandbox", *, user_id: int, label: str | None = None, data: str | None = None,
    message_id: int | None = None, as_user: int | None = None, times: int = 1, wait: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Press an inline button."""
    if (label is None) == (data is None):
        raise ValueError("a tap needs label or data")
    if not 1 <= times <= MOST_TAPS:
        raise ValueError(f"times can be 1 to {MOST_TAPS}")
    message, button = _find(sandbox, user_id, message_id, label, data)
    if address := button.get("url") or button.get("web_app", {}).get("url"):
        return {"update_id": None, "answer": None, "url": address}
    if "copy_text" in button:
        return {"update_id": None, "answer": None, "copied": button["copy_text"]["text"]}
    if button.get("pay"):
        return await pay(sandbox, user_id=user_id, message_id=message.message_id)
    if "callback_data" not in button:
        raise ValueError(f"the button {button['text']!r} does nothing here")
    person = find_person(sandbox, user_id if as_user is None else as_user)
    asked = [_ask(sandbox, message, button, person) for _ in range(times)]
    sandbox.flush()
    wanted = [query for query, update_id in asked if wait and update_id is not None]
    answers = await asyncio.gather(*(query.wait() for query in wanted))
    answered: dict[str, Any] = {"update_id": asked[-1][1], "answer": answers[0] if answers else None}
    return answered | ({"answers": answers} if times > 1 else {})


async def pay(
    sandbox: "Sandbox", *, user_id: int, message_id: int | None = None, link: str | None = None
) -> dict[str, Any]:
    """Pay an invoice."""
    person = find_person(sandbox, user_id)
    if link is not None:
        invoice = sandbox.store.setting(f"link:{link.removeprefix(LINK)}")
        if invoice is None:
            raise ValueError(f"there is no invoice {link}")
        return await pay_invoice(sandbox, person, invoice, None)
    message = _invoice(sandbox, user_id, message_id)
    if message.invoice is None or message.invoice["paid"]:
        return {"ok": False, "error": ALREADY_PAID}
    return await pay_invoice(sandbox, person, message.invoice, message)


async def refund(sandbox: "Sandbox", *, telegram_payment_charge_id: str) -> dict[str, Any]:
    """Give Stars back without the bot's doing."""
    charge = sandbox.store.charges.get(telegram_payment_charge_id)
    if charge is None:
        raise ValueError(f"there is no charge {telegram_payment_charge_id}")
    if charge.refunded_at is not None:
        raise ValueError("the charge has already been refunded")
    return {"update_id": refund_charge(sandbox, charge)}


def _find(
    sandbox: "Sandbox", user_id: int, message_id: int | None, label: str | None, data: str | None
) -> tuple[Message, Button]:
    messages = [item for item in sandbox.chats.messages(user_id) if item.author == BOT]
    if message_id is not None:
        messages = [item for item in messages if item.message_id == message_id]
    wanted = data if label is None else label
    seen: list[str] = []
    # An exact label on an older message is a better find than a part of one on a newer.
    for is_exact in (True, False):
        for message in reversed(messages):
            for button in every_button(message.body.get("reply_markup")):
                text = str(button.get("callback_data")) if label is None else button["text"]
                seen.append(text)
                if text == wanted or (not is_exact and label is not None and label in text):
                    return message, button
    raise ValueError(f"there is no button {wanted!r}; there are {list(dict.fromkeys(seen))}")


def _ask(sandbox: "Sandbox", message: Message, button: Button, person: Person) -> tuple[Query, int | None]:
    query = sandbox.callbacks.ask(message.chat_id)
    pressed = {
        "id": query.id,
        "from": person.user(),
        "message": message.body,
        "chat_instance": str(message.chat_id * CHAT_INSTANCE),
        "data": button["callback_data"],
    }
    return query, sandbox.updates.add("callback_query", pressed, message.chat_id)


def _invoice(sandbox: "Sandbox", user_id: int, message_id: int | None) -> Message:
    if message_id is not None:
        message = sandbox.chats.message(user_id, message_id)
        if message is None or message.invoice is None:
            raise ValueError(f"message {message_id} is no invoice")
        return message
    invoices = [item for item in sandbox.chats.messages(user_id) if item.invoice is not None]
    unpaid = [item for item in invoices if item.invoice and not item.invoice["paid"]]
    if not invoices:
        raise ValueError("there is no invoice in this chat")
    return (unpaid or invoices)[-1]


ACTIONS: dict[str, Action] = {"tap": tap, "pay": pay, "refund": refund}
