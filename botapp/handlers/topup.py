"""Topping up: how much, which way, the link to the shop, and whether the money has come.

Stars part from here at the choice of the way: see `stars`.
"""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from telegram import InlineKeyboardButton

from botapp import keyboards
from botapp.conversation import asking
from botapp.handlers import menu
from botapp.handlers.profile import way_back
from botapp.keyboards import button, link
from botapp.patience import is_too_often
from botapp.texts import SafeText, Texts
from botapp.turn import Turn
from payments.gateways.base import GatewayRejected, GatewayUnavailable
from payments.models import Package, Payment, PaymentStatus
from payments.return_addresses import return_url
from payments.services import KOPEKS, InvalidPayment, offer_for
from payments.services import start_payment as begin_payment
from payments.standing import ask_standing
from payments.stars import offer_in_stars
from qwenedit import bot_api
from qwenedit.rate_limits import PAYMENTS
from qwenedit.users.models import User

KEPT = "topup"  # under which name the chat remembers a top-up that waits for an e-mail address
UNITS = ("рублей", "рубля", "рубль", "руб.", "руб", "р.", "р", "rubles", "ruble", "rub", "₽")
MOST_DIGITS = 9


def packages(turn: Turn) -> None:
    """Show what can be bought: the packages, exactly as they are credited, and a sum of one's own."""
    asking.done(turn, KEPT)
    texts = turn.texts
    if not (settings.YOOKASSA_ENABLED or settings.STARS_ENABLED):
        turn.show(texts("topup.closed"), keyboards.rows(way_back(texts)))
        return
    low, high = settings.PAYMENT_MIN_AMOUNT, settings.PAYMENT_MAX_AMOUNT
    on_offer = Package.objects.filter(is_active=True, rubles__range=(low, high))
    turn.show(
        texts("topup.packages", balance=texts("menu.points", count=turn.balance)),
        keyboards.rows(
            *([button(_package(texts, package), "pay", package.rubles)] for package in on_offer),
            [button(texts("topup.own_amount"), "amount")],
            way_back(texts),
        ),
    )


def ask_amount(turn: Turn) -> None:
    """Ask for a sum."""
    asking.ask(turn, "amount")
    turn.show(turn.texts("topup.ask_amount", **_limits()), keyboards.rows(_back_to_packages(turn.texts)))


def amount_typed(turn: Turn) -> None:
    """Take the sum that somebody typed, and ask which way to pay."""
    message = turn.message
    rubles = _rubles(message.text or "" if message else "")
    if rubles is None:
        words = turn.texts("topup.bad_amount", **_limits())
        turn.say(words, keyboards.rows(_back_to_packages(turn.texts)))
        return
    asking.done(turn)
    _offer_ways(turn, rubles)


def choose_method(turn: Turn) -> None:
    """Ask which way to pay for a sum that a button names."""
    rubles = _rubles(turn.argument)
    if rubles is None:  # a button from before the limits changed
        packages(turn)
    else:
        _offer_ways(turn, rubles)


def start_payment(turn: Turn) -> None:
    """Make a payment by card or SBP, once the receipt knows where to go. `card:500`, `card:500:ask`."""
    method, _, rest = turn.argument.partition(":")
    amount, _, wish = rest.partition(":")
    rubles = _rubles(amount)
    if rubles is None or method not in ("card", "sbp") or not settings.YOOKASSA_ENABLED:
        packages(turn)
        return
    if settings.RECEIPT_REQUIRED and (wish == "ask" or not turn.user.email):
        asking.ask(turn, "email", **{KEPT: {"method": method, "rubles": rubles}})
        turn.show(turn.texts("topup.ask_email"), keyboards.rows(_back_to_packages(turn.texts)))
        return
    _start(turn, rubles, method)


def email_typed(turn: Turn) -> None:
    """Take the address for receipts, remember it for the next time, and go on with the payment."""
    message = turn.message
    email = (message.text or "" if message else "").strip()
    try:
        validate_email(email)
    except ValidationError:
        turn.say(turn.texts("topup.bad_email"), keyboards.rows(_back_to_packages(turn.texts)))
        return
    User.objects.filter(pk=turn.user.pk).update(email=email)
    turn.user.email = email
    waiting = turn.chat.draft.get(KEPT)
    if waiting is None:
        packages(turn)
        return
    _start(turn, waiting["rubles"], waiting["method"])
    asking.done(turn, KEPT)


def check(turn: Turn) -> None:
    """Ask the shop whether the money has come; the bill of one that has goes away."""
    texts = turn.texts
    number = turn.argument if turn.argument.isdecimal() else ""
    payment = Payment.objects.filter(user=turn.user, pk=int(number)).first() if number else None
    if payment is None:
        menu.outdated(turn)
        return
    payment, is_answered = ask_standing(payment)
    if payment.status == PaymentStatus.SUCCEEDED:
        turn.acknowledge(texts("topup.paid"))
        menu.close(turn)  # the outbox tells what it brought, and tells it once
    elif payment.status == PaymentStatus.PENDING:
        turn.acknowledge(texts("topup.not_yet" if is_answered else "topup.no_answer"), alert=True)
    else:
        again = button(texts("topup.again"), "pay", payment.amount // KOPEKS)
        turn.show(texts("topup.failed"), keyboards.rows([again], way_back(texts)))


def _offer_ways(turn: Turn, rubles: int) -> None:
    texts = turn.texts
    ways = []
    if settings.YOOKASSA_ENABLED:
        ways += [
            button(texts("topup.card", rubles=rubles), "with", Payment.Method.CARD, rubles),
            button(texts("topup.sbp", rubles=rubles), "with", Payment.Method.SBP, rubles),
        ]
    if settings.STARS_ENABLED:
        ways.append(button(texts("topup.stars", stars=offer_in_stars(rubles).stars), "stars", rubles))
    points = texts("menu.points", count=offer_for(rubles).points)
    turn.show(
        texts("topup.ways", rubles=rubles, points=points),
        keyboards.rows(*([way] for way in ways), _back_to_packages(texts)),
    )


def _start(turn: Turn, rubles: int, method: str) -> None:
    """Make the payment and show its link, or say why there is none."""
    texts = turn.texts
    is_repeated = Payment.objects.filter(user=turn.user, idempotency_key=turn.key).exists()
    if not is_repeated and is_too_often(turn, PAYMENTS):
        return
    again = [button(texts("topup.again"), "with", method, rubles)]
    other = [button(texts("topup.other_way"), "pay", rubles)]
    try:
        payment = begin_payment(
            user=turn.user,
            rubles=rubles,
            method=method,
            email=turn.user.email if settings.RECEIPT_REQUIRED else "",
            idempotency_key=turn.key,
            request_id=f"update-{turn.update.update_id}",
            return_url=_return_url(),
        )
    except GatewayUnavailable:
        turn.show(texts("topup.unavailable"), keyboards.rows(again, other, way_back(texts)))
    except (GatewayRejected, InvalidPayment):
        turn.show(texts("topup.rejected"), keyboards.rows(other, way_back(texts)))
    else:
        _show_link(turn, payment)


def _show_link(turn: Turn, payment: Payment) -> None:
    texts = turn.texts
    rubles = payment.amount // KOPEKS
    words: str = texts("topup.ready", rubles=rubles, points=texts("menu.points", count=payment.points))
    pay = []
    if payment.confirmation_url:  # else a notification was faster than the answer with the link
        pay = [link(texts("topup.pay", rubles=rubles), payment.confirmation_url)]
    change = []
    if payment.email:
        words += "\n" + texts("topup.receipt", email=payment.email)
        change = [button(texts("topup.change_email"), "with", payment.method, rubles, "ask")]
    turn.show(
        words,
        keyboards.rows(
            pay,
            [button(texts("topup.check"), "check", payment.pk)],
            change,
            _back_to_packages(texts),
        ),
    )


def _package(texts: Texts, package: Package) -> SafeText:
    points = texts("menu.points", count=package.points)
    if package.bonus_percent:
        return texts(
            "topup.package_bonus", rubles=package.rubles, points=points, percent=package.bonus_percent
        )
    return texts("topup.package", rubles=package.rubles, points=points)


def _rubles(text: str) -> int | None:
    """Return the whole rubles that a text says, or None where it says none that can be paid."""
    words = "".join(text.lower().split())
    for unit in UNITS:
        words = words.removesuffix(unit)
    if not (words.isascii() and words.isdecimal() and len(words) <= MOST_DIGITS):
        return None
    rubles = int(words)
    return rubles if settings.PAYMENT_MIN_AMOUNT <= rubles <= settings.PAYMENT_MAX_AMOUNT else None


def _limits() -> dict[str, int]:
    return {"low": settings.PAYMENT_MIN_AMOUNT, "high": settings.PAYMENT_MAX_AMOUNT}


def _return_url() -> str:
    if settings.PUBLIC_URL:
        return return_url(settings.PUBLIC_URL)
    return f"https://t.me/{bot_api.identity().username}"


def _back_to_packages(texts: Texts) -> list[InlineKeyboardButton]:
    return [button(texts("menu.back"), "topup")]
