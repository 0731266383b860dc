"""A result on its way to Telegram: as a photo to look at, or as the file that the model made.

What Telegram has once is not uploaded again. Knows Telegram's limits; decides nothing about who is sent what.
"""

from __future__ import annotations

from typing import Any

import structlog
from telegram import InputFile, InputMediaDocument, InputMediaPhoto, Message, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import BadRequest

from botapp.models import Order
from botapp.orders.wording import Content
from jobs import pictures
from jobs.models import Job, JobImage
from qwenedit import bot_api
from qwenedit.lib.images import thumbnail

logger = structlog.get_logger(__name__)

# Of a photo: https://core.telegram.org/bots/api#sendphoto
MOST_PHOTO_BYTES = 10_000_000
MOST_PHOTO_SIDES = 10_000
MOST_PHOTO_RATIO = 20
REDUCED_SIDE = 2560  # what Telegram keeps of a photo at most

Media = InputMediaPhoto | InputMediaDocument


def result_of(job: Job) -> JobImage | None:
    """Return the row of a job's result, while it is stored."""
    return job.images.filter(role=JobImage.Role.RESULT).first()


def read(image: JobImage) -> bytes | None:
    """Return a result's bytes, or None where the file was deleted."""
    try:
        return pictures.read(image)
    except FileNotFoundError:
        return None


def as_photo(image: JobImage, data: bytes) -> bytes | None:
    """Return what to send as a photo; None where it can only be a file."""
    longest, shortest = max(image.width, image.height), min(image.width, image.height)
    if longest > MOST_PHOTO_RATIO * shortest:
        return None
    if len(data) <= MOST_PHOTO_BYTES and image.width + image.height <= MOST_PHOTO_SIDES:
        return data
    return thumbnail(data, REDUCED_SIDE)


def media(image: JobImage, data: bytes, content: Content, *, as_file: bool = False) -> Media:
    """Return what a message is turned into: the result with its words."""
    photo = None if as_file else as_photo(image, data)
    if photo is None:
        return InputMediaDocument(
            data, caption=content.text, parse_mode=ParseMode.HTML, filename=file_name(image.job)
        )
    return InputMediaPhoto(photo, caption=content.text, parse_mode=ParseMode.HTML)


def send(
    order: Order, image: JobImage, data: bytes, content: Content, *, reply_to: ReplyParameters | None = None
) -> Message:
    """Send a result as a photo; as a file where Telegram takes no such photo."""
    photo = as_photo(image, data)
    if photo is not None:
        try:
            return send_photo(order, photo, content, reply_to=reply_to)
        except BadRequest as error:
            logger.info("Result is sent as a file", order_id=order.pk, reason=error.message)
    return send_file(order, data, file_name(image.job), content, reply_to=reply_to)


def send_photo(
    order: Order, photo: bytes | str, content: Content, *, reply_to: ReplyParameters | None = None
) -> Message:
    """Send a result as a photo, by its bytes or by its name at Telegram."""
    return bot_api.call(
        lambda bot: bot.send_photo(
            order.chat_id,
            photo,
            caption=content.text,
            parse_mode=ParseMode.HTML,
            reply_markup=content.keyboard,
            reply_parameters=reply_to,
        )
    )


def send_file(
    order: Order,
    file: bytes | str,
    name: str,
    content: Content | None = None,
    *,
    reply_to: ReplyParameters | None = None,
) -> Message:
    """Send a result uncompressed, by its bytes or by its name at Telegram."""
    upload = InputFile(file, filename=name) if isinstance(file, bytes) else file
    return bot_api.call(
        lambda bot: bot.send_document(
            order.chat_id,
            upload,
            caption=content.text if content else None,
            parse_mode=ParseMode.HTML,
            reply_markup=content.keyboard if content else None,
            reply_parameters=reply_to,
            disable_content_type_detection=True,
        )
    )


def file_name(job: Job) -> str:
    """Return what a result is called on somebody's disk."""
    return f"qwenedit-{job.pk}.png"


def file_ids(message: Message) -> dict[str, Any]:
    """Return what Telegram calls the result now, as fields of its order."""
    if message.photo:
        return {"photo_file_id": message.photo[-1].file_id}
    return {"document_file_id": message.document.file_id} if message.document else {}
