"""Topping up with Telegram Stars: the invoice, the yes or no before it is paid, the charge, the refund.

That points have come or gone is told by the outbox; here only what went wrong is.
"""

from __future__ import annotations

from functools import partial

import structlog
from django.db import DatabaseError
from telegram import Bot, LabeledPrice, PreCheckoutQuery
from telegram.error import BadRequest

from botapp import keyboards
from botapp.handlers import menu, topup
from botapp.keyboards import button
from botapp.patience import is_too_often
from botapp.texts import Texts
from botapp.turn import Turn
from payments.amounts import STARS
from payments.models import Payment
from payments.services import InvalidPayment
from payments.stars import confirm_charge, note_refund, start_stars_payment, why_not
from qwenedit import bot_api
from qwenedit.rate_limits import PAYMENTS
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

# Copies of an invoice that are forwarded open the bot, instead of letting others pay for its owner.
START_PARAMETER = "topup"


def send_invoice(turn: Turn) -> None:
    """Send an invoice for the rubles that a button names, in Stars."""
    texts = turn.texts
    turn.acknowledge()
    is_repeated = Payment.objects.filter(user=turn.user, idempotency_key=turn.key).exists()
    if not is_repeated and is_too_often(turn, PAYMENTS):
        return
    try:
        payment = start_stars_payment(
            user=turn.user,
            rubles=int(turn.argument) if turn.argument.isdecimal() else 0,
            idempotency_key=turn.key,
            request_id=f"update-{turn.update.update_id}",
        )
    except InvalidPayment:  # a button from before the limits changed, or Stars were switched off
        topup.packages(turn)
        return
    points = texts("menu.points", count=payment.points)
    send = partial(
        Bot.send_invoice,
        chat_id=turn.chat.pk,
        title=texts("stars.title", points=points),
        description=texts("stars.description", points=points),
        payload=str(payment.key),
        currency=STARS,
        prices=[LabeledPrice(points, payment.amount)],
        provider_token="",
        start_parameter=START_PARAMETER,
    )
    try:
        bot_api.call(send)
    except BadRequest as error:
        logger.warning("Invoice refused by Telegram", payment_id=payment.pk, reason=error.message)
        other = button(texts("topup.other_way"), "topup")
        turn.say(texts("stars.no_invoice"), keyboards.rows([other]))


def refusal(query: PreCheckoutQuery) -> str:
    """Return why an invoice must not be paid, in the payer's language, or nothing. Never behind a queue."""
    code = query.from_user.language_code or ""
    try:
        known = User.objects.filter(telegram_id=query.from_user.id).values_list("language", flat=True).first()
        reason = why_not(
            payload=query.invoice_payload,
            payer_id=query.from_user.id,
            total=query.total_amount,
            currency=query.currency,
        )
    except DatabaseError:
        logger.exception("Nobody knows whether an invoice may be paid", payload=query.invoice_payload)
        return Texts(code[:2])("stars.not_now")
    return Texts(known or code[:2])(f"stars.refused_{reason}") if reason else ""


def paid(turn: Turn) -> None:
    """Credit a charge."""
    message = turn.message
    charge = message.successful_payment if message else None
    if charge is None:
        return
    payment = confirm_charge(
        charge_id=charge.telegram_payment_charge_id,
        payload=charge.invoice_payload,
        payer=turn.user,
        total=charge.total_amount,
        currency=charge.currency,
    )
    if payment is None:
        turn.say(turn.texts("stars.quarantined") + menu.support(turn), menu.to_menu(turn))


def refunded(turn: Turn) -> None:
    """Take note that Telegram gave a charge back."""
    message = turn.message
    refund = message.refunded_payment if message else None
    if refund is not None:
        note_refund(charge_id=refund.telegram_payment_charge_id, total=refund.total_amount)
