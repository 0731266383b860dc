"""Texts, copies, deletions, reactions, pins, chat actions."""

import time
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.methods.common import (
    Method,
    find_chat,
    find_message,
    find_writable_chat,
    post,
    read_along,
    read_caption,
    read_text,
)
from qwenedit.sandbox.telegram.parameters import Parameters, as_integer
from qwenedit.sandbox.telegram.records import Chat, Message

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

ACTIONS = (
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice",
    "upload_document", "choose_sticker", "find_location", "record_video_note", "upload_video_note",
)  # fmt: skip
# The emoji that Telegram lets bots react with.
REACTIONS = frozenset(
    [
        "👍", "👎", "❤", "🔥", "🥰", "👏", "😁", "🤔", "🤯", "😱", "🤬", "😢", "🎉",
        "🤩", "🤮", "💩", "🙏", "👌", "🕊", "🤡", "🥱", "🥴", "😍", "🐳", "❤‍🔥", "🌚",
        "🌭", "💯", "🤣", "⚡", "🍌", "🏆", "💔", "🤨", "😐", "🍓", "🍾", "💋", "🖕",
        "😈", "😴", "😭", "🤓", "👻", "👨‍💻", "👀", "🎃", "🙈", "😇", "😨", "🤝", "✍",
        "🤗", "🫡", "🎅", "🎄", "☃", "💅", "🤪", "🗿", "🆒", "💘", "🙉", "🦄", "😘",
        "💊", "🙊", "😎", "👾", "🤷‍♂", "🤷", "🤷‍♀", "😡",
    ]
)  # fmt: skip
MOST_DELETED = 100
DELETABLE_SECONDS = 48 * 3600
# What a copy takes over from its original.
CONTENT = (
    "text", "entities", "caption", "caption_entities", "photo", "document", "video", "animation", "audio",
    "voice", "video_note", "sticker", "contact", "location", "poll", "dice", "show_caption_above_media",
)  # fmt: skip
CAPTION = ("caption", "caption_entities", "show_caption_above_media")
UNCOPIED = ("invoice", "successful_payment", "refunded_payment")


async def send_message(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send a text."""
    chat = find_writable_chat(sandbox, given)
    content = read_text(sandbox, given)
    along = read_along(sandbox, given, chat)
    return post(sandbox, chat, content, along).body


async def copy_message(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send the content of a message again."""
    chat, original = _original(sandbox, given, "message to copy not found")
    if any(name in original.body for name in UNCOPIED):
        raise bad_request("message can't be copied")
    along = read_along(sandbox, given, chat)
    content = {name: original.body[name] for name in CONTENT if name in original.body}
    if "caption" in given and "text" not in content:
        content = {name: value for name, value in content.items() if name not in CAPTION}
        content |= read_caption(sandbox, given)
    return {"message_id": post(sandbox, chat, content, along, kind=original.kind).message_id}


async def forward_message(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send a message on, with its origin."""
    chat, original = _original(sandbox, given, "message to forward not found")
    if any(name in original.body for name in UNCOPIED):
        raise bad_request("message can't be forwarded")
    content = {name: original.body[name] for name in CONTENT if name in original.body}
    content["forward_origin"] = {
        "type": "user",
        "date": original.body["date"],
        "sender_user": original.body["from"],
    }
    along = read_along(sandbox, given, chat)
    return post(sandbox, chat, content, along, kind=original.kind).body


async def delete_message(sandbox: "Sandbox", given: Parameters) -> bool:
    """Delete a message for both sides."""
    chat = find_chat(sandbox, given)
    message = find_message(sandbox, chat, given.integer("message_id"), "message to delete not found")
    if _is_too_old(message):
        raise bad_request("message can't be deleted for everyone")
    sandbox.chats.delete(message)
    return True


async def delete_messages(sandbox: "Sandbox", given: Parameters) -> bool:
    """Delete several messages; those that are not there are passed over."""
    chat = find_chat(sandbox, given)
    numbers = given.json("message_ids", "message identifiers")
    if not isinstance(numbers, list) or not numbers:
        raise bad_request("message identifiers are not specified")
    if len(numbers) > MOST_DELETED:
        raise bad_request("too many message identifiers specified")
    for number in numbers:
        message = sandbox.chats.message(chat.id, as_integer(number))
        if message is not None and not _is_too_old(message):
            sandbox.chats.delete(message)
    return True


async def send_chat_action(sandbox: "Sandbox", given: Parameters) -> bool:
    """Show what the bot is doing."""
    chat = find_writable_chat(sandbox, given)
    action = given.text("action").strip().lower()
    if action not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    sandbox.chats.act(chat, action)
    return True


async def set_message_reaction(sandbox: "Sandbox", given: Parameters) -> bool:
    """Set the bot's reaction to a message, or take it back."""
    chat = find_writable_chat(sandbox, given)
    message = find_message(sandbox, chat, given.integer("message_id"), "message to react not found")
    wanted = given.json("reaction", "reaction types") or []
    if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
        raise bad_request("can't parse reaction types JSON object")
    emoji = [str(item.get("emoji", "")) for item in wanted]
    if any(item.get("type") != "emoji" for item in wanted) or not REACTIONS.issuperset(emoji):
        raise bad_request("REACTION_INVALID")
    if len(emoji) > 1:
        raise bad_request("REACTIONS_TOO_MANY")
    message.reactions = emoji
    sandbox.chats.changed(message)
    return True


async def pin_chat_message(sandbox: "Sandbox", given: Parameters) -> bool:
    """Pin a message."""
    chat = find_writable_chat(sandbox, given)
    message = find_message(sandbox, chat, given.integer("message_id"), "message to pin not found")
    if message.message_id not in chat.pinned:
        chat.pinned.append(message.message_id)
        sandbox.chats.touch(chat)
    return True


async def unpin_chat_message(sandbox: "Sandbox", given: Parameters) -> bool:
    """Unpin a message, the newest pinned one unless told."""
    chat = find_writable_chat(sandbox, given)
    number = given.integer("message_id") or (chat.pinned[-1] if chat.pinned else 0)
    if number not in chat.pinned:
        raise bad_request("message to unpin not found")
    chat.pinned.remove(number)
    sandbox.chats.touch(chat)
    return True


async def unpin_all_chat_messages(sandbox: "Sandbox", given: Parameters) -> bool:
    """Unpin every message."""
    chat = find_writable_chat(sandbox, given)
    chat.pinned.clear()
    sandbox.chats.touch(chat)
    return True


def _original(sandbox: "Sandbox", given: Parameters, missing: str) -> tuple[Chat, Message]:
    chat = find_writable_chat(sandbox, given)
    source = find_chat(sandbox, given, name="from_chat_id")
    return chat, find_message(sandbox, source, given.integer("message_id"), missing)


def _is_too_old(message: Message) -> bool:
    age: float = time.time() - message.body["date"]
    return age > DELETABLE_SECONDS


METHODS: dict[str, Method] = {
    "sendMessage": send_message,
    "copyMessage": copy_message,
    "forwardMessage": forward_message,
    "deleteMessage": delete_message,
    "deleteMessages": delete_messages,
    "sendChatAction": send_chat_action,
    "setMessageReaction": set_message_reaction,
    "pinChatMessage": pin_chat_message,
    "unpinChatMessage": unpin_chat_message,
    "unpinAllChatMessages": unpin_all_chat_messages,
}
