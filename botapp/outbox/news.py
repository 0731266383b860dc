"""What each kind of delivery says, and how it is sent: `SENDERS` by the delivery's kind.

A sender runs outside transactions, makes its words in the language that the person reads now, and returns the
id of its message. It lets Telegram's errors pass, and raises NotYet, Pointless or OutcomeUnknown of `outbox`.
A sender that is called again with `is_begun` decides itself whether to repeat its call. Knows no lanes, no
leases and no pace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from django.utils import timezone
from telegram import InlineKeyboardButton
from telegram.constants import ParseMode

from botapp.handlers import drafting
from botapp.keyboards import button, rows
from botapp.models import Chat, Delivery
from botapp.orders.outcome import send_job_news
from botapp.outbox import OutcomeUnknown, Pointless, begin, broadcasts
from botapp.texts import Texts
from payments.amounts import for_people
from payments.models import LedgerEntry, Payment, Refund
from qwenedit import bot_api
from qwenedit.users.models import User

Sender = Callable[[Delivery], int | None]

BONUS_IS_NEWS_FOR = timedelta(days=7)


def send_payment(delivery: Delivery) -> int:
    """Say that a payment came, and what it brought."""
    user = _user(delivery)
    payment = Payment.objects.get(pk=_subject(delivery))
    # Who ran out of points in the middle of an edit finds the way back to it.
    resume = drafting.resume_row(Texts(user.language), user.chat)
    return _say(delivery, user, "payment", points=payment.points, first_row=resume)


def send_refund(delivery: Delivery) -> int:
    """Say that money went back, and which points went with it."""
    user = _user(delivery)
    refund = Refund.objects.select_related("payment").get(pk=_subject(delivery))
    total = for_people(refund.amount, refund.payment.currency)
    return _say(delivery, user, "payment_refund", points=refund.points, sum=total)


def send_bonus(delivery: Delivery) -> int:
    """Say that the weekly bonus came; once at most, for it is no loss."""
    if delivery.is_begun:
        raise OutcomeUnknown
    user = _user(delivery)
    entry = LedgerEntry.objects.get(pk=_subject(delivery))
    if timezone.now() - entry.created_at > BONUS_IS_NEWS_FOR:
        raise Pointless("no news any more")
    return _say(delivery, user, "bonus", points=entry.amount)


def send_referral(delivery: Delivery) -> int:
    """Say to a friend, or to who invited them, that both were rewarded."""
    user = _user(delivery)
    entry = LedgerEntry.objects.get(pk=_subject(delivery))
    name = "inviter" if entry.key.endswith(":inviter") else "invited"
    return _say(delivery, user, name, points=entry.amount)


SENDERS: dict[str, Sender] = {
    "job": send_job_news,
    "payment": send_payment,
    "payment_refund": send_refund,
    "bonus": send_bonus,
    "referral": send_referral,
    "broadcast": broadcasts.send_delivery,
}


def _subject(delivery: Delivery) -> int:
    if delivery.subject is None:
        raise ValueError(f"{delivery.kind} is about no row")
    return delivery.subject


def _user(delivery: Delivery) -> User:
    """Return whose chat it is. Raises Pointless where there is none any more."""
    chat = Chat.objects.select_related("user").filter(pk=delivery.chat_id).first()
    if chat is None:
        raise Pointless("the chat was deleted")
    return chat.user


def _say(
    delivery: Delivery,
    user: User,
    name: str,
    *,
    points: int,
    first_row: Sequence[InlineKeyboardButton] = (),
    **values: str,
) -> int:
    """Send a text about points, with the balance as it is now.

    Where it may have arrived before, the balance alone is told: nobody should think that they paid twice.
    """
    texts = Texts(user.language)
    name = "balance" if delivery.is_begun else name
    begin(delivery)
    words = texts(
        f"news.{name}",
        points=texts("menu.points", count=points),
        balance=texts("menu.points", count=user.balance),
        **values,
    )
    keyboard = rows(first_row, [button(texts("menu.to_menu"), "menu")])
    message = bot_api.call(
        lambda bot: bot.send_message(
            delivery.chat_id, words, parse_mode=ParseMode.HTML, reply_markup=keyboard
        )
    )
    return message.message_id
