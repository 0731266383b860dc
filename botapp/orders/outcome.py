"""The end of an edit, told in its order's message: the picture itself, or why there is none.

    edit the message into the picture     harmless to repeat
      └─ it is gone, or can not be edited
           └─ send the picture anew, once: an unknown outcome ends in a line and a button, never in a double

Called by the outbox, which tries again what is raised here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.utils import timezone
from telegram import Message
from telegram.error import BadRequest

from botapp import outbox
from botapp.models import Delivery, Order
from botapp.orders import display, leases, result_media, wording
from botapp.orders.wording import Content
from botapp.outbox import NotYet, Pointless
from botapp.texts import Texts
from botapp.turn import is_unchanged
from jobs.models import Job, JobImage
from jobs.states import FINAL, JobStatus
from payments.models import LedgerEntry
from qwenedit import bot_api
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

# How long whoever takes an order has to send its message, before the news becomes a message of its own.
ANNOUNCED_WITHIN = timedelta(seconds=10)
PATIENCE = 2.0  # seconds to wait for whoever talks about the order now


def send_job_news(delivery: Delivery) -> int | None:
    """Tell how an edit ended. Raises TelegramError, NotYet or Pointless."""
    order_id = delivery.subject or 0
    with leases.held(order_id, patience=PATIENCE) as order:
        if order is None:
            if not Order.objects.filter(pk=order_id).exists():
                raise Pointless("the order is gone")
            raise NotYet(1.0)
        if order.job is None or order.job.status not in FINAL:
            raise Pointless("the edit has not ended")
        if order.message_id is None and timezone.now() - order.created_at < ANNOUNCED_WITHIN:
            raise NotYet(1.0)
        if order.job.status == JobStatus.SUCCEEDED:
            return _show_result(delivery, order, order.job)
        return _tell_end(order, order.job)


def _tell_end(order: Order, job: Job) -> int | None:
    # Said only where it is true: the entry in the ledger decides.
    is_refunded = LedgerEntry.objects.filter(key=f"job:{job.pk}:refund").exists()
    content = wording.ended(_texts(order), order, job, is_refunded=is_refunded)
    display.tell(order, content, must_be_seen=True)
    return order.message_id


def _show_result(delivery: Delivery, order: Order, job: Job) -> int | None:
    texts = _texts(order)
    if delivery.is_begun:
        return _say_where_it_is(order, texts)
    balance = User.objects.values_list("balance", flat=True).get(pk=order.chat.user_id)
    content = wording.result(texts, order, job, balance=balance)
    image = result_media.result_of(job)
    data = result_media.read(image) if image else None
    if image is None or data is None:
        display.tell(order, wording.purged(texts, order), must_be_seen=True)
        return order.message_id
    if order.message_id is not None:
        try:
            _edit_into(order, image, data, content)
        except BadRequest as error:
            if not is_unchanged(error):
                logger.info("Result becomes a message of its own", order_id=order.pk, reason=error.message)
                _send_anew(delivery, order, image, data, content)
        return order.message_id
    _send_anew(delivery, order, image, data, content)
    return order.message_id


def _say_where_it_is(order: Order, texts: Texts) -> int | None:
    """After a sending whose outcome is unknown: nobody is sent a picture twice unasked."""
    if order.photo_file_id or order.document_file_id:
        return order.message_id  # known by now: it had arrived
    content = wording.lost_from_sight(texts, order)
    message = display.send(order, content)
    display.remove(order)
    display.remember(order, content, message_id=message.message_id)
    return order.message_id


def _edit_into(order: Order, image: JobImage, data: bytes, content: Content) -> None:
    media = result_media.media(image, data, content)
    edited = bot_api.call(
        lambda bot: bot.edit_message_media(
            media, chat_id=order.chat_id, message_id=order.message_id, reply_markup=content.keyboard
        )
    )
    file_ids: dict[str, Any] = result_media.file_ids(edited) if isinstance(edited, Message) else {}
    display.remember(order, content, **file_ids)


def _send_anew(delivery: Delivery, order: Order, image: JobImage, data: bytes, content: Content) -> None:
    outbox.begin(delivery)
    reply_to = display.reply_to_photo(order)
    message = result_media.send(order, image, data, content, reply_to=reply_to)
    display.remove(order)
    display.remember(order, content, message_id=message.message_id, **result_media.file_ids(message))


def _texts(order: Order) -> Texts:
    return Texts(order.chat.user.language)
