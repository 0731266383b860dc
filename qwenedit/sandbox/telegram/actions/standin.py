"""What only a stand-in can do: wait for the bot, send updates again or as they please, forget everything."""

import time
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.actions import Action
from qwenedit.sandbox.telegram.actions.people import find_person
from qwenedit.sandbox.telegram.chats import BOT
from qwenedit.sandbox.telegram.markup import every_button
from qwenedit.sandbox.telegram.records import Message
from qwenedit.sandbox.telegram.views import message_view, transcript

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

HAS = ("photo", "document", "invoice", "buttons")
USUAL_TIMEOUT = 30.0


async def wait(
    sandbox: "Sandbox", *, user_id: int, after: int = 0, contains: str | None = None, has: str | None = None,
    button: str | None = None, timeout: float = USUAL_TIMEOUT,
) -> dict[str, Any]:  # fmt: skip
    """Wait until a message of the bot fits."""
    if has is not None and has not in HAS:
        raise ValueError(f"has can be one of {', '.join(HAS)}")
    chat_id = user_id
    if chat_id > 0:
        find_person(sandbox, chat_id)
    deadline = time.monotonic() + timeout
    while True:
        for message in reversed(sandbox.chats.messages(chat_id)):
            if message.event > after and _fits(message, contains, has, button):
                return message_view(message)
        left = deadline - time.monotonic()
        if left <= 0:
            wanted = {"after": after or None, "contains": contains, "has": has, "button": button}
            told = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value is not None)
            raise ValueError(
                f"no message with {told or 'anything'} in {timeout:g} s\n{transcript(sandbox, chat_id)}"
            )
        await sandbox.chats.change(chat_id, left)


async def redeliver(sandbox: "Sandbox", *, update_id: int | None = None) -> dict[str, Any]:
    """Send an update again."""
    return {"update_id": sandbox.updates.send_again(update_id)}


async def send_update(sandbox: "Sandbox", *, update: dict) -> dict[str, Any]:
    """Send any update; what it asks can be answered."""
    lane = _lane(update)
    asked = {
        "callback_query": sandbox.callbacks,
        "pre_checkout_query": sandbox.checkouts,
        "inline_query": sandbox.inline_queries,
    }
    for name, queries in asked.items():
        if isinstance(update.get(name), dict) and "id" in update[name]:
            queries.ask(lane, str(update[name]["id"]))
    return {"update_id": sandbox.updates.add_raw(update, lane)}


async def reset(sandbox: "Sandbox") -> dict[str, Any]:
    """Go back to the start."""
    sandbox.reset()
    return {"ok": True}


def _fits(message: Message, contains: str | None, has: str | None, button: str | None) -> bool:
    if message.author != BOT:
        return False
    body = message.body
    if contains is not None:
        text = f"{body.get('text', '')}{body.get('caption', '')}"
        if contains.casefold() not in text.casefold():
            return False
    if has == "buttons" and "reply_markup" not in body:
        return False
    if has not in (None, "buttons") and has not in body:
        return False
    return button is None or any(button in item["text"] for item in every_button(body.get("reply_markup")))


def _lane(update: dict[str, Any]) -> int:
    for content in update.values():
        inner = content.get("message", content) if isinstance(content, dict) else None
        place = (inner.get("chat") or content.get("from")) if isinstance(inner, dict) else None
        if isinstance(place, dict) and isinstance(place.get("id"), int):
            lane: int = place["id"]
            return lane
    return 0


ACTIONS: dict[str, Action] = {
    "wait": wait,
    "redeliver": redeliver,
    "send_update": send_update,
    "reset": reset,
}
