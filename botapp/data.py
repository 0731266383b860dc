"""Deleting what is kept of a person: edits, photos, words, names. What the books need stays.

Each step may be repeated, and the whole is repeated where it was cut short: the update that asked for it is
open until it is done. Telegram id, ledger and payments stay: points are not given twice to whoever comes
back, and accounts must be kept.
"""

from __future__ import annotations

import structlog

from botapp.models import AlbumPhoto, Chat, IncomingUpdate, JobMark, Order, OrderStatus
from botapp.orders import leases, placing
from jobs import erasure
from jobs.erasure import NotAllErased
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

PLACING_TAKES = 20.0  # seconds in which whoever fetches the photos of an order sees that it is cancelled


def erase(chat: Chat) -> int:
    """Delete everything about the person of a chat that may be deleted; return how many pictures went.

    Raises TelegramError where an order's message can not be brought up to date, and NotAllErased.
    """
    for order in Order.objects.filter(chat=chat, status=OrderStatus.ACCEPTED):
        _cancel(order)
    AlbumPhoto.objects.filter(chat=chat).delete()
    Order.objects.filter(chat=chat).exclude(status=OrderStatus.ACCEPTED).update(
        prompt="", photos=[], photo_file_id="", document_file_id="", failure=""
    )
    JobMark.objects.filter(job__user=chat.user).delete()
    IncomingUpdate.objects.filter(chat_id=chat.pk, processed_at__isnull=False).update(body={})
    _forget_names(chat.user)
    Chat.objects.filter(pk=chat.pk).update(step="", draft={}, expires_at=None)
    chat.step, chat.draft, chat.expires_at = "", {}, None
    count = erasure.erase(chat.user)
    logger.info("Data of a user erased", user_id=chat.user_id)
    return count


def _cancel(order: Order) -> None:
    """Cancel an order that is not a job yet, also one that becomes a job at this moment."""
    if placing.cancel(order) is placing.Cancelled.SOON:
        with leases.held(order.pk, patience=PLACING_TAKES):
            pass  # whoever held it has cancelled the job, or left the order as it was
        if placing.cancel(order) is placing.Cancelled.SOON:
            raise NotAllErased("An edit is being submitted. Please try again in a few minutes.")


def _forget_names(user: User) -> None:
    names = {"first_name": "", "last_name": "", "email": ""}
    is_made_up = user.username.startswith(f"telegram-{user.telegram_id}")
    if not is_made_up and not user.has_usable_password():  # who signs in by a name keeps it
        names["username"] = f"erased-{user.pk}"
    User.objects.filter(pk=user.pk).update(**names)
    for name, value in names.items():
        setattr(user, name, value)
