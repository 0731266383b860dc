"""What people send: texts, pictures, files, albums, and everything else a bot may meet."""

import base64
import binascii
import secrets
import time
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.actions import Action
from qwenedit.sandbox.telegram.actions.people import find_person
from qwenedit.sandbox.telegram.chats import USER
from qwenedit.sandbox.telegram.entities import detected, utf16_length
from qwenedit.sandbox.telegram.formatting import LONGEST_CAPTION, LONGEST_TEXT
from qwenedit.sandbox.telegram.markup import labels_of
from qwenedit.sandbox.telegram.methods.common import caption_content, text_content
from qwenedit.sandbox.telegram.parameters import Upload
from qwenedit.sandbox.telegram.records import Chat, Message, Person, StoredFile
from qwenedit.sandbox.telegram.shapes import file_content

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

GROUP = -1_001_000_000_001
GROUP_TITLE = "Group"
ALBUM = range(2, 11)
LARGEST_FILE = 2000 * 1024 * 1024
# What a file of each kind is if nobody says: name, MIME type, bytes.
USUAL = {
    "sticker": ("sticker.webp", "image/webp", 20_000),
    "voice": ("voice.ogg", "audio/ogg", 15_000),
    "video": ("video.mp4", "video/mp4", 300_000),
    "animation": ("animation.mp4", "video/mp4", 150_000),
    "video_note": ("note.mp4", "video/mp4", 200_000),
    "audio": ("song.mp3", "audio/mpeg", 500_000),
}


async def message(
    sandbox: "Sandbox", *, user_id: int, text: str, reply_to: int | None = None
) -> dict[str, Any]:
    """Send a text."""
    return _send(sandbox, user_id, _text(text), reply_to=reply_to)


async def photo(
    sandbox: "Sandbox", *, user_id: int, data: str, caption: str = "", reply_to: int | None = None
) -> dict[str, Any]:
    """Send a photo."""
    stored = await sandbox.files.add_photo(_decoded(data), is_upright=True)
    return _send(sandbox, user_id, _with_caption(sandbox, stored, caption), reply_to=reply_to)


async def document(
    sandbox: "Sandbox", *, user_id: int, file_name: str, data: str | None = None, size: int | None = None,
    mime_type: str = "", caption: str = "", reply_to: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Send a file as it is."""
    if (data is None) == (size is None):
        raise ValueError("a document needs data or size")
    if data is not None:
        stored = await sandbox.files.add("document", Upload(file_name, mime_type, _decoded(data)))
    else:
        if not 0 < (size or 0) <= LARGEST_FILE:
            raise ValueError(f"size cannot be {size}")
        stored = sandbox.files.add_zeros("document", file_name, mime_type, size or 0)
    return _send(sandbox, user_id, _with_caption(sandbox, stored, caption), reply_to=reply_to)


async def album(sandbox: "Sandbox", *, user_id: int, items: list, caption: str = "") -> dict[str, Any]:
    """Send several pictures as one: as many updates, with one media_group_id."""
    if len(items) not in ALBUM or not all(isinstance(item, dict) and "data" in item for item in items):
        raise ValueError(f"an album needs {ALBUM.start} to {ALBUM.stop - 1} items with data")
    group = str(secrets.randbelow(10**17) + 10**16)
    contents = [await _album_item(sandbox, item, number) for number, item in enumerate(items)]
    if caption:
        contents[0] |= _caption(caption)
    sent = [_send(sandbox, user_id, content | {"media_group_id": group}) for content in contents]
    return {
        "message_ids": [item["message_id"] for item in sent],
        "update_ids": [item["update_id"] for item in sent],
        "media_group_id": group,
    }


async def contact(
    sandbox: "Sandbox", *, user_id: int, phone_number: str = "+10000000000", first_name: str = ""
) -> dict[str, Any]:
    """Send a contact, one's own unless told."""
    person = find_person(sandbox, user_id)
    told: dict[str, Any] = {"phone_number": phone_number, "first_name": first_name or person.first_name}
    if not first_name:
        told["user_id"] = user_id
    return _send(sandbox, user_id, {"contact": told}, kind="contact")


async def location(
    sandbox: "Sandbox", *, user_id: int, latitude: float = 55.75, longitude: float = 37.62
) -> dict[str, Any]:
    """Send a place."""
    content = {"location": {"latitude": latitude, "longitude": longitude}}
    return _send(sandbox, user_id, content, kind="location")


async def poll(
    sandbox: "Sandbox", *, user_id: int, question: str = "Which?", options: list | None = None
) -> dict[str, Any]:
    """Send a poll."""
    now = int(time.time())
    answers = [
        {"persistent_id": str(number), "text": str(text), "voter_count": 0, "addition_date": now}
        for number, text in enumerate(options or ["This", "That"])
    ]
    told = {
        "id": str(secrets.randbelow(10**18)),
        "question": question,
        "options": answers,
        "total_voter_count": 0,
        "is_closed": False,
        "is_anonymous": True,
        "type": "regular",
        "allows_multiple_answers": False,
        "allows_revoting": True,
        "members_only": False,
    }
    return _send(sandbox, user_id, {"poll": told}, kind="poll")


async def dice(sandbox: "Sandbox", *, user_id: int, emoji: str = "🎲", value: int = 4) -> dict[str, Any]:
    """Throw a die."""
    return _send(sandbox, user_id, {"dice": {"emoji": emoji, "value": value}}, kind="dice")


async def edit(sandbox: "Sandbox", *, user_id: int, message_id: int, text: str) -> dict[str, Any]:
    """Change the text or the caption of one's own message."""
    found = _message(sandbox, user_id, message_id)
    if found.author != USER:
        raise ValueError("people edit their own messages")
    if "text" in found.body:
        sandbox.chats.edit(found, _text(text), "text", "entities")
    else:
        sandbox.chats.edit(found, _caption(text), "caption", "caption_entities")
    update_id = sandbox.updates.add("edited_message", found.body, found.chat_id)
    return {"message_id": message_id, "update_id": update_id}


async def press(sandbox: "Sandbox", *, user_id: int, label: str) -> dict[str, Any]:
    """Press a button of the reply keyboard."""
    chat = sandbox.chats.open(find_person(sandbox, user_id).id)
    keyboard = chat.keyboard or {}
    shown = [text for row in labels_of(keyboard) or [] for text in row]
    if label not in shown:
        raise ValueError(f"there is no button {label!r}; shown are {shown}")
    if keyboard.get("one_time_keyboard"):
        chat.keyboard = None
    button = next(item for row in keyboard["keyboard"] for item in row if item["text"] == label)
    if button.get("request_contact"):
        return await contact(sandbox, user_id=user_id)
    return await message(sandbox, user_id=user_id, text=label)


async def group(sandbox: "Sandbox", *, user_id: int, text: str, chat_id: int = GROUP) -> dict[str, Any]:
    """Write in a group."""
    if chat_id >= 0:
        raise ValueError("the number of a group is negative")
    person = find_person(sandbox, user_id)
    chat = sandbox.chats.open(chat_id, GROUP_TITLE)
    if user_id not in chat.members:
        chat.members.append(user_id)
    return _post(sandbox, chat, person, _text(text))


async def delete_message(
    sandbox: "Sandbox", *, user_id: int, message_id: int, for_: str = "both"
) -> dict[str, Any]:
    """Delete a message."""
    if for_ != "both":
        raise ValueError("a message can be deleted for both")
    sandbox.chats.delete(_message(sandbox, user_id, message_id))
    return {"message_id": message_id}


def _send(
    sandbox: "Sandbox", user_id: int, content: dict[str, Any], *, kind: str = "", reply_to: int | None = None
) -> dict[str, Any]:
    person = find_person(sandbox, user_id)
    if person.blocked:
        raise ValueError("the person has blocked the bot: unblock it first")
    if not person.started:
        person.started = True
        sandbox.store.people.save(person)
    replied = None if reply_to is None else _message(sandbox, user_id, reply_to)
    return _post(sandbox, sandbox.chats.open(user_id), person, content, kind=kind, reply_to=replied)


def _post(
    sandbox: "Sandbox", chat: Chat, person: Person, content: dict[str, Any], *, kind: str = "",
    reply_to: Message | None = None,
) -> dict[str, Any]:  # fmt: skip
    posted = sandbox.chats.post(chat, USER, content, sender=person.user(), kind=kind, reply_to=reply_to)
    update_id = sandbox.updates.add("message", posted.body, chat.id)
    return {"message_id": posted.message_id, "update_id": update_id}


def _message(sandbox: "Sandbox", user_id: int, message_id: int) -> Message:
    found = sandbox.chats.message(user_id, message_id)
    if found is None:
        raise ValueError(f"there is no message {message_id} in the chat of {user_id}")
    return found


def _text(text: str) -> dict[str, Any]:
    formatted = detected(text)
    if not 1 <= utf16_length(formatted.text) <= LONGEST_TEXT:
        raise ValueError(f"a text has 1 to {LONGEST_TEXT} characters")
    return text_content(formatted)


def _caption(text: str) -> dict[str, Any]:
    formatted = detected(text)
    if utf16_length(formatted.text) > LONGEST_CAPTION:
        raise ValueError(f"a caption has {LONGEST_CAPTION} characters at most")
    return caption_content(formatted)


def _with_caption(sandbox: "Sandbox", stored: StoredFile, caption: str) -> dict[str, Any]:
    return file_content(sandbox.files, stored) | _caption(caption)


async def _album_item(sandbox: "Sandbox", item: dict[str, Any], number: int) -> dict[str, Any]:
    data = _decoded(str(item["data"]))
    if item.get("as_document"):
        name = str(item.get("file_name") or f"picture_{number}.jpg")
        upload = Upload(name, str(item.get("mime_type") or ""), data)
        stored = await sandbox.files.add("document", upload)
    else:
        stored = await sandbox.files.add_photo(data, is_upright=True)
    return _with_caption(sandbox, stored, str(item.get("caption") or ""))


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data.partition(",")[2] if data.startswith("data:") else data)
    except binascii.Error:
        raise ValueError("data must be base64") from None


def _sender(kind: str) -> Any:
    name, usual_type, usual_size = USUAL[kind]

    async def send(
        sandbox: "Sandbox", *, user_id: int, data: str | None = None, caption: str = "",
        duration: int | None = None, file_name: str = name,
    ) -> dict[str, Any]:  # fmt: skip
        if data is None:
            stored = sandbox.files.add_zeros(kind, file_name, usual_type, usual_size)
        else:
            stored = await sandbox.files.add(kind, Upload(file_name, usual_type, _decoded(data)))
        stored.duration = duration or stored.duration
        return _send(sandbox, user_id, _with_caption(sandbox, stored, caption), kind=kind)

    return send


ACTIONS: dict[str, Action] = {
    "message": message,
    "photo": photo,
    "document": document,
    "album": album,
    "contact": contact,
    "location": location,
    "poll": poll,
    "dice": dice,
    "edit": edit,
    "press": press,
    "group": group,
    "delete_message": delete_message,
    **{kind: _sender(kind) for kind in USUAL},
}
