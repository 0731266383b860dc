"""Photos, documents, videos, albums, and the way back: getFile."""

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.downloads import fetch
from qwenedit.sandbox.telegram.errors import Refusal, bad_request
from qwenedit.sandbox.telegram.formatting import formatted_caption
from qwenedit.sandbox.telegram.methods.common import (
    Along,
    Method,
    caption_content,
    find_writable_chat,
    post,
    read_along,
    read_caption,
    with_people,
)
from qwenedit.sandbox.telegram.parameters import MEGABYTE, TOO_LARGE, Parameters, Upload
from qwenedit.sandbox.telegram.records import StoredFile
from qwenedit.sandbox.telegram.shapes import file_content, file_ids

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

LARGEST_PHOTO = 10 * MEGABYTE
LARGEST_FILE = 50 * MEGABYTE
LARGEST_DOWNLOAD = 20 * MEGABYTE
ALBUM = range(2, 11)
ALBUM_KINDS = ("photo", "video", "document", "audio")
EDIT_KINDS = (*ALBUM_KINDS, "animation")
# Kinds that a chat shows by themselves, without a name for them.
PLAIN_KINDS = ("photo", "document")
# Kinds that must not be mixed with others in one album.
APART = ("document", "audio")


async def send_photo(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send a photo."""
    return await _send(sandbox, given, "photo")


async def send_document(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send a file as it is."""
    return await _send(sandbox, given, "document")


async def send_video(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send a video."""
    return await _send(sandbox, given, "video")


async def send_animation(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send a GIF, or a video without sound."""
    return await _send(sandbox, given, "animation")


async def send_media_group(sandbox: "Sandbox", given: Parameters) -> list[dict[str, Any]]:
    """Send an album."""
    chat = find_writable_chat(sandbox, given)
    items = given.json("media", "media")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise bad_request("expected an Array of InputMedia")
    if not items:
        raise bad_request("there are no messages to send")
    if len(items) not in ALBUM:
        few_or_many = "few" if len(items) < ALBUM.start else "many"
        raise bad_request(f"too {few_or_many} messages to send as an album")
    kinds = {str(item.get("type")) for item in items}
    if not kinds.issubset(ALBUM_KINDS) or (len(kinds) > 1 and kinds.intersection(APART)):
        raise bad_request("wrong type of the album")
    along = read_along(sandbox, given, chat)
    album = str(secrets.randbelow(10**17) + 10**16)
    contents = [await read_media(sandbox, given, item, ALBUM_KINDS) for item in items]
    item_along = Along(None, along.reply_to, along.extras)
    return [post(sandbox, chat, content | {"media_group_id": album}, item_along).body for content in contents]


async def get_file(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Say where a file can be fetched."""
    if not given.text("file_id"):
        raise bad_request("file_id not specified")
    stored = sandbox.store.files.get(given.text("file_id"))
    if stored is None:
        raise bad_request("invalid file_id")
    await sandbox.files.ensure(stored)
    if (stored.size or 0) > LARGEST_DOWNLOAD:
        raise bad_request("file is too big")
    return file_ids(stored) | {"file_path": stored.path}


async def read_media(
    sandbox: "Sandbox", given: Parameters, item: Mapping[str, Any], kinds: tuple[str, ...]
) -> dict[str, Any]:
    """Return the fields of an InputMedia: its file and its caption."""
    kind = str(item.get("type", ""))
    if kind not in kinds:
        raise bad_request("can't parse InputMedia: type of the media is unsupported")
    media = item.get("media")
    if not isinstance(media, str) or not media:
        raise bad_request("can't parse InputMedia: Can't find field \"media\"")
    caption = formatted_caption(
        str(item.get("caption") or ""), str(item.get("parse_mode") or ""), item.get("caption_entities")
    )
    stored = await _stored(sandbox, kind, given.attached(media))
    content = file_content(sandbox.files, stored) | caption_content(with_people(sandbox, caption))
    for flag, field in (
        ("has_spoiler", "has_media_spoiler"),
        ("show_caption_above_media", "show_caption_above_media"),
    ):
        if item.get(flag):
            content[field] = True
    return content


async def _send(sandbox: "Sandbox", given: Parameters, kind: str) -> dict[str, Any]:
    chat = find_writable_chat(sandbox, given)
    file = given.file(kind)
    if not file:
        raise bad_request(f"there is no {kind} in the request")
    along = read_along(sandbox, given, chat)
    caption = read_caption(sandbox, given)
    stored = await _stored(sandbox, kind, file)
    for name in ("width", "height", "duration"):
        if kind in ("video", "animation") and given.integer(name):
            setattr(stored, name, given.integer(name))
    spoiler = {"has_media_spoiler": True} if given.flag("has_spoiler") else {}
    content = file_content(sandbox.files, stored) | caption | spoiler
    return post(sandbox, chat, content, along, kind="" if kind in PLAIN_KINDS else kind).body


async def _stored(sandbox: "Sandbox", kind: str, file: Upload | str) -> StoredFile:
    if isinstance(file, str) and not file.lower().startswith(("http://", "https://")):
        return sandbox.files.find(file, kind)
    upload = await fetch(file, kind) if isinstance(file, str) else file
    if not upload.data:
        raise bad_request("file must be non-empty")
    if kind == "photo":
        if len(upload.data) > LARGEST_PHOTO:
            raise bad_request(
                f"file of size {len(upload.data)} bytes is too big for a photo; "
                f"the maximum size is {LARGEST_PHOTO} bytes"
            )
        return await sandbox.files.add_photo(upload.data)
    if len(upload.data) > LARGEST_FILE:
        raise Refusal(413, TOO_LARGE)
    return await sandbox.files.add(kind, upload)


METHODS: dict[str, Method] = {
    "sendPhoto": send_photo,
    "sendDocument": send_document,
    "sendVideo": send_video,
    "sendAnimation": send_animation,
    "sendMediaGroup": send_media_group,
    "getFile": get_file,
}
