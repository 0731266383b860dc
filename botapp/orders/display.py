"""The message of an order, brought up to date: sent once, then edited. For holders of the order's lease."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.utils import timezone
from telegram import Message, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import BadRequest, TelegramError

from botapp.models import Order
from botapp.orders.wording import Content
from botapp.turn import NO_PREVIEW, is_unchanged
from qwenedit import bot_api


def tell(order: Order, content: Content, *, must_be_seen: bool = False, is_last: bool = False) -> None:
    """Make an order's message say `content`. Raises TelegramError.

    Where its owner has deleted the message, only what `must_be_seen` is sent anew. After the last word its
    holder has to say, the lease is given back in the same write.
    """
    if order.message_id is None:
        remember(order, content, message_id=send(order, content).message_id, is_last=is_last)
        return
    if order.shown == content.digest:
        return
    try:
        edit(order, content)
    except BadRequest as error:
        if must_be_seen and not is_unchanged(error):
            remember(order, content, message_id=send(order, content).message_id, is_last=is_last)
            return
    remember(order, content, is_last=is_last)


def send(order: Order, content: Content) -> Message:
    """Send a message about an order, as a reply to its photo."""
    return bot_api.call(
        lambda bot: bot.send_message(
            order.chat_id,
            content.text,
            parse_mode=ParseMode.HTML,
            reply_markup=content.keyboard,
            link_preview_options=NO_PREVIEW,
            reply_parameters=reply_to_photo(order),
        )
    )


def edit(order: Order, content: Content, *, patience: float | None = None) -> None:
    """Edit the message of an order; `patience` bounds the seconds until Telegram's answer."""
    waits: dict[str, Any] = {}
    if patience is not None:
        waits = {"read_timeout": patience, "pool_timeout": patience}
    bot_api.call(
        lambda bot: bot.edit_message_text(
            content.text,
            chat_id=order.chat_id,
            message_id=order.message_id,
            parse_mode=ParseMode.HTML,
            reply_markup=content.keyboard,
            link_preview_options=NO_PREVIEW,
            **waits,
        )
    )


def remember(
    order: Order, content: Content, *, message_id: int | None = None, is_last: bool = False, **more: Any
) -> None:
    """Keep what the message of an order says now, and which message that is."""
    order.message_id = message_id or order.message_id
    order.shown, order.shown_at = content.digest, timezone.now()
    fields = {"message_id": order.message_id, "shown": order.shown, "shown_at": order.shown_at} | more
    row = Order.objects.filter(pk=order.pk)
    if is_last:
        mine = row.filter(lease_token=order.held_as)
        if mine.update(**fields, lease_token=None, lease_until=None):
            order.held_as = None
            return
    row.update(**fields)


def remove(order: Order) -> None:
    """Take the message of an order away, if it is still there."""
    message_id = order.message_id
    if message_id is not None:
        quietly(lambda: bot_api.call(lambda bot: bot.delete_message(order.chat_id, message_id)))


def quietly(action: Callable[[], object]) -> None:
    """Do what is pleasant but not needed."""
    with suppress(TelegramError):
        action()


def reply_to_photo(order: Order) -> ReplyParameters | None:
    """Return the message that held the photo, so that people see which one an answer is about."""
    message_id = order.photos[0].get("message") if order.photos else None
    return ReplyParameters(message_id, allow_sending_without_reply=True) if message_id else None
