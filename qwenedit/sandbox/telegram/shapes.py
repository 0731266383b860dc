"""Files as messages show them."""

from typing import Any

from qwenedit.sandbox.telegram.files import Files
from qwenedit.sandbox.telegram.records import StoredFile, without_empty

WIDTH, HEIGHT, DURATION = 320, 240, 1
STICKER_SIDE = 512
NOTE_SIDE = 240


def file_content(files: Files, stored: StoredFile) -> dict[str, Any]:
    """Return the fields of a message with this file."""
    if stored.kind == "photo":
        sizes = files.family(stored)
        return {"photo": [file_ids(size) | {"width": size.width, "height": size.height} for size in sizes]}
    facts = file_ids(stored) | without_empty({"mime_type": stored.mime_type})
    named = facts | without_empty({"file_name": stored.name})
    timed = {"duration": stored.duration or DURATION}
    framed = {"width": stored.width or WIDTH, "height": stored.height or HEIGHT}
    match stored.kind:
        case "video":
            return {"video": named | framed | timed}
        case "animation":
            # A GIF shows up as a document too, for programs from before there were animations.
            return {"animation": named | framed | timed, "document": named}
        case "audio":
            return {"audio": named | timed}
        case "voice":
            return {"voice": facts | timed}
        case "video_note":
            return {"video_note": file_ids(stored) | timed | {"length": NOTE_SIDE}}
        case "sticker":
            side = {"width": STICKER_SIDE, "height": STICKER_SIDE}
            flags = {"type": "regular", "is_animated": False, "is_video": False, "emoji": "🙂"}
            return {"sticker": file_ids(stored) | side | flags}
        case _:
            return {"document": named}


def file_ids(stored: StoredFile) -> dict[str, Any]:
    """Return what every file object has."""
    size = {} if stored.size is None else {"file_size": stored.size}
    return {"file_id": stored.key, "file_unique_id": stored.unique_id, **size}
