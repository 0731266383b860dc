"""The photos of an order as bytes: downloaded from Telegram, or read from our own storage. For workers."""

from __future__ import annotations

from typing import ClassVar

from telegram import Bot
from telegram.error import TelegramError

from botapp.conversation.incoming_photos import Photo, most_bytes
from jobs import pictures
from jobs.models import JobImage
from qwenedit import bot_api
from qwenedit.errors import DomainError
from qwenedit.lib.images import ImageTooLarge
from qwenedit.users.models import User

DOWNLOAD_TIMEOUT = 30.0  # seconds without a byte


class PhotosUnavailable(DomainError):
    """Telegram does not hand the photos out."""

    code: ClassVar[str] = "photos_unavailable"
    retryable: ClassVar[bool] = True


class PhotoGone(DomainError):
    """The picture was deleted: its time had come, or its owner wished so."""

    code: ClassVar[str] = "photo_gone"


def read_photo(photo: Photo, *, owner: User) -> bytes:
    """Return a photo's bytes. Raises PhotoGone, PhotosUnavailable, ImageTooLarge or TelegramError."""
    if "image" not in photo:
        return bot_api.call(lambda bot: _download(bot, str(photo["file_id"])))
    image = stored(photo, owner=owner)
    if image is None:
        raise PhotoGone("The picture is no longer stored.")
    try:
        return pictures.read(image)
    except FileNotFoundError as error:
        raise PhotoGone("The picture is no longer stored.") from error


def are_there(photos: list[Photo], *, owner: User) -> bool:
    """Tell whether all photos can still be had, as far as we know."""
    return bool(photos) and all("image" not in photo or stored(photo, owner=owner) for photo in photos)


def stored(photo: Photo, *, owner: User) -> JobImage | None:
    """Return the row of a picture that is stored here, if it is `owner`'s."""
    return JobImage.objects.filter(pk=photo["image"], job__user=owner).first()


async def _download(bot: Bot, file_id: str) -> bytes:
    try:
        file = await bot.get_file(file_id)
        if (file.file_size or 0) > most_bytes():
            raise ImageTooLarge(most_bytes())
        return bytes(await file.download_as_bytearray(read_timeout=DOWNLOAD_TIMEOUT))
    except TelegramError as error:
        if "too big" in error.message.lower():
            raise ImageTooLarge(most_bytes()) from error
        if bot_api.is_final(error):  # asked again, it would answer the same: its owner should know soon
            raise PhotosUnavailable(f"Telegram does not hand the photo out: {error.message}") from error
        raise
