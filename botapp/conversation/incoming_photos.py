"""The photo in a message: which file at Telegram it is, and whether it can be taken at all.

Judged by what Telegram says of the file; its bytes are read later, by a worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, ClassVar

from django.conf import settings
from telegram import Message

from qwenedit.errors import DomainError
from qwenedit.lib.images import ImageTooLarge

# {"file_id", "name", "bytes", "message"} of Telegram's, or {"image": id} of a picture that is stored here.
Photo = Mapping[str, Any]

MOST_BYTES_OF_TELEGRAM = 20 << 20  # what getFile hands out, see https://core.telegram.org/bots/api#getfile
PICTURE_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png", "image/webp", "image/heic", "image/heif"})
PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"})


class NotAPicture(DomainError):
    """A file of another kind."""

    code: ClassVar[str] = "not_a_picture"


def most_bytes() -> int:
    """Return the size of the largest file that can be taken."""
    return min(int(settings.MAX_UPLOAD_BYTES), MOST_BYTES_OF_TELEGRAM)


def has_photo(message: Message) -> bool:
    """Tell whether there is something in a message that `photo_of` reads."""
    return bool(message.photo or message.document)


def photo_of(message: Message) -> Photo:
    """Return the photo of a message, or the picture sent as a file. Raises NotAPicture or ImageTooLarge."""
    document = message.document
    if message.photo:
        largest = message.photo[-1]
        return _photo(message, largest.file_id, "", largest.file_size)
    if document is None or message.animation is not None:
        raise NotAPicture("That is no picture.")
    name = document.file_name or ""
    is_picture = (document.mime_type or "").lower() in PICTURE_TYPES
    if not is_picture and PurePath(name).suffix.lower() not in PICTURE_ENDINGS:
        raise NotAPicture("That is no picture.")
    return _photo(message, document.file_id, name, document.file_size)


def _photo(message: Message, file_id: str, name: str, size: int | None) -> Photo:
    if (size or 0) > most_bytes():
        raise ImageTooLarge(most_bytes())
    return {"file_id": file_id, "name": name[:100], "bytes": size or 0, "message": message.message_id}
