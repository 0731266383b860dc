"""The message of a broadcast: whether Telegram would take it, and sending it to one chat.

A picture is uploaded once; what Telegram calls it then is sent to everybody else. Knows nothing of deliveries
and of whom a broadcast is for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from django.core.cache import cache
from redis.exceptions import RedisError
from telegram import InlineKeyboardMarkup, LinkPreviewOptions, Message
from telegram.constants import MessageLimit, ParseMode
from telegram.error import BadRequest

from botapp import markup
from botapp.keyboards import link, rows
from botapp.models import Broadcast
from botapp.outbox import NotYet
from qwenedit import bot_api
from qwenedit.errors import DomainError
from qwenedit.users.models import User

UPLOAD_SECONDS = 90  # for the first upload, before somebody else tries it
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


class InvalidBroadcast(DomainError):
    """A broadcast that Telegram would refuse to send; the message says why."""

    code: ClassVar[str] = "invalid_broadcast"


def check(broadcast: Broadcast) -> None:
    """Raise InvalidBroadcast where Telegram would refuse the message."""
    longest = MessageLimit.CAPTION_LENGTH if broadcast.picture else MessageLimit.MAX_TEXT_LENGTH
    for language, text in (("Russian", broadcast.text_ru), ("English", broadcast.text_en)):
        found = markup.problems(text)
        if not text.strip():
            found.append("it is empty")
        if markup.visible_length(text) > longest:
            found.append(f"more than the {longest} characters that fit")
        if found:
            raise InvalidBroadcast(f"{language} text: {'; '.join(found)}")
    button = (broadcast.button_text_ru, broadcast.button_text_en, broadcast.button_url)
    if any(button) and not all(button):
        raise InvalidBroadcast("A button needs an address, and words in both languages.")


def send_test(broadcast: Broadcast, chat_id: int) -> None:
    """Send the message to one chat in every language. Raises InvalidBroadcast, or Telegram's errors."""
    check(broadcast)
    for language in User.Language.values:
        try:
            send(broadcast, chat_id, language)
        except BadRequest as error:
            raise InvalidBroadcast(f"Telegram refuses it ({language}): {error.message}") from error


def send(
    broadcast: Broadcast, chat_id: int, language: str, *, before: Callable[[], None] = lambda: None
) -> int:
    """Send the message to one chat and return its id; `before` is called right before the call to Telegram.

    Raises Telegram's errors, or NotYet while somebody else uploads the picture.
    """
    is_russian = language == User.Language.RUSSIAN
    text = broadcast.text_ru if is_russian else broadcast.text_en
    caption = broadcast.button_text_ru if is_russian else broadcast.button_text_en
    keyboard = rows([link(caption, broadcast.button_url)]) if broadcast.button_url else None
    if broadcast.picture:
        return _send_picture(broadcast, chat_id, text, keyboard, before)
    before()
    message = bot_api.call(
        lambda bot: bot.send_message(
            chat_id,
            text,
            parse_mode=ParseMode.HTML,
            reply_markup=keyboard,
            link_preview_options=NO_PREVIEW,
        )
    )
    return message.message_id


def _send_picture(
    broadcast: Broadcast,
    chat_id: int,
    text: str,
    keyboard: InlineKeyboardMarkup | None,
    before: Callable[[], None],
) -> int:
    known = broadcast.picture_file_id
    uploading = f"broadcast:{broadcast.pk}:uploading"
    if not known and not _add(uploading):
        raise NotYet(2.0)
    picture = known or _read(broadcast)
    try:
        before()
        message: Message = bot_api.call(
            lambda bot: bot.send_photo(
                chat_id, picture, caption=text, parse_mode=ParseMode.HTML, reply_markup=keyboard
            )
        )
        if not known:
            broadcast.picture_file_id = message.photo[-1].file_id
            Broadcast.objects.filter(pk=broadcast.pk).update(picture_file_id=broadcast.picture_file_id)
    finally:
        if not known:
            with suppress(RedisError):
                cache.delete(uploading)
    return message.message_id


def _read(broadcast: Broadcast) -> bytes:
    with broadcast.picture.open("rb") as file:
        return bytes(file.read())


def _add(key: str) -> bool:
    try:
        return bool(cache.add(key, 1, timeout=UPLOAD_SECONDS))
    except RedisError:  # better to upload twice than not at all
        return True
