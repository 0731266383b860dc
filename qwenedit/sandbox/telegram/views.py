"""What a person sees: chats and messages as JSON for the chat page, and as text for people."""

import time
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.chats import BOT
from qwenedit.sandbox.telegram.entities import rendered
from qwenedit.sandbox.telegram.markup import buttons_of, labels_of
from qwenedit.sandbox.telegram.methods.profile import commands_for
from qwenedit.sandbox.telegram.records import Message, Person, without_empty

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

FILE_URL = "/sandbox/files/{}"
FILE_KINDS = ("animation", "video", "audio", "voice", "video_note", "sticker")
PAYMENTS = ("successful_payment", "refunded_payment")
PLAIN_KINDS = ("contact", "location", "poll", "dice")


def user_view(person: Person, event: int) -> dict[str, Any]:
    """Return a person of the list of chats; `event` is the last one of their chat."""
    return person.user() | {"started": person.started, "blocked": person.blocked, "event": event}


def chat_view(sandbox: "Sandbox", chat_id: int) -> dict[str, Any]:
    """Return a chat as its person sees it now."""
    chats = sandbox.chats
    person, chat = chats.person(chat_id), chats.chat(chat_id)
    language = person.language_code if person else ""
    return {
        "user": person.user() if person else None,
        "events": chat.event if chat else 0,
        "messages": [message_view(message) for message in chats.messages(chat_id)],
        "commands": commands_for(sandbox, chat_id, language),
        "typing": chats.action(chat_id),
        "blocked": bool(person and person.blocked),
        "toasts": chat.toasts if chat else [],
        "pinned": chat.pinned if chat else [],
        "reply_keyboard": labels_of(chat.keyboard) if chat else None,
    }


def message_view(message: Message) -> dict[str, Any]:
    """Return a message for the chat page."""
    body = message.body
    text = body.get("text", body.get("caption", ""))
    view: dict[str, Any] = {
        "message_id": message.message_id,
        "from": message.author,
        "date": body["date"],
        "edited": message.edited,
        "text": body.get("text"),
        "caption": body.get("caption"),
        "html": rendered(text, body.get("entities", body.get("caption_entities", []))),
        "album": body.get("media_group_id"),
        "buttons": buttons_of(body.get("reply_markup")),
        "reactions": message.reactions,
        "kind": message.kind,
        "event": message.event,
        "reply_to": body.get("reply_to_message", {}).get("message_id"),
        "sender": body["from"] if message.author != BOT and message.chat_id < 0 else None,
    }
    if "photo" in body:
        largest = body["photo"][-1]
        view["photo"] = {name: largest[name] for name in ("file_id", "width", "height")} | _url(largest)
    for kind in FILE_KINDS:
        if kind in body:
            view[kind] = body[kind] | _url(body[kind])
    if "document" in body and "animation" not in body:
        names = ("file_id", "file_name", "mime_type", "file_size")
        document = body["document"]
        view["document"] = {name: document.get(name) for name in names} | _url(document)
    if message.invoice is not None:
        view["invoice"] = {name: message.invoice[name] for name in ("title", "description", "stars", "paid")}
    view |= {name: body[name] for name in (*PAYMENTS, *PLAIN_KINDS) if name in body}
    return without_empty(view)


def transcript(sandbox: "Sandbox", chat_id: int) -> str:
    """Return a chat as text."""
    lines = []
    for message in sandbox.chats.messages(chat_id):
        lines.append(_line(message))
        lines += [
            "        " + "  ".join(f"[{button['label']}]" for button in row)
            for row in buttons_of(message.body.get("reply_markup"))
        ]
        if message.reactions:
            lines.append(f"        {' '.join(message.reactions)}")
    chat, person = sandbox.chats.chat(chat_id), sandbox.chats.person(chat_id)
    lines += [
        f"        {'!' if toast['show_alert'] else '~'} {toast['text']}"
        for toast in (chat.toasts if chat else [])
    ]
    for row in (labels_of(chat.keyboard) if chat else None) or []:
        lines.append("keyboard: " + "  ".join(f"[{label}]" for label in row))
    if person and person.blocked:
        lines.append("(the bot is blocked)")
    return "\n".join(lines) + "\n"


def _line(message: Message) -> str:
    body = message.body
    clock = time.strftime("%H:%M:%S", time.localtime(body["date"]))
    sender = "bot" if message.author == BOT else body["from"]["first_name"]
    marks = [_mark(message, name) for name in (*FILE_KINDS, *PLAIN_KINDS, *PAYMENTS) if name in body]
    if "photo" in body:
        marks.append(f"<photo {body['photo'][-1]['width']}x{body['photo'][-1]['height']}>")
    if "document" in body and "animation" not in body:
        marks.append(f"<document {body['document'].get('file_name', '')}>")
    if message.invoice:
        state = "paid" if message.invoice["paid"] else "open"
        marks.append(f"<invoice {message.invoice['title']}, {message.invoice['stars']} Stars, {state}>")
    text = body.get("text", body.get("caption", "")).replace("\n", "\n        ")
    edited = " (edited)" if message.edited else ""
    return " ".join(
        part for part in (f"#{message.message_id} {clock} {sender}{edited}:", *marks, text) if part
    )


def _mark(message: Message, name: str) -> str:
    if name in PAYMENTS:
        return f"<{name} {message.body[name]['total_amount']} Stars>"
    return f"<{name}>"


def _url(file: dict[str, Any]) -> dict[str, str]:
    return {"url": FILE_URL.format(file["file_id"])}
