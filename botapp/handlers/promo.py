"""Promo codes in the chat: asked for, typed, redeemed, or refused in words that help nobody who guesses."""

from __future__ import annotations

from django.db import transaction

from botapp import keyboards
from botapp.conversation import asking
from botapp.handlers.profile import way_back
from botapp.patience import is_too_often
from botapp.turn import Turn
from payments.models import LedgerEntry
from payments.promo import PromoCodeAlreadyRedeemed, PromoCodeRefused, redeem_code
from qwenedit.rate_limits import PROMO_CODES

REDEEMED = "redeemed"  # under which name the chat remembers what its last code has brought


def ask(turn: Turn) -> None:
    """Ask for a code, or redeem the one that came with the command."""
    if turn.argument:
        _redeem(turn, turn.argument)
        return
    asking.ask(turn, "promo")
    turn.show(turn.texts("promo.ask"), keyboards.rows(way_back(turn.texts)))


def typed(turn: Turn) -> None:
    """Redeem the code that somebody typed."""
    message = turn.message
    _redeem(turn, message.text or "" if message else "")


def _redeem(turn: Turn, code: str) -> None:
    texts = turn.texts
    keyboard = keyboards.rows(way_back(texts))
    entry = _redeemed_before(turn)
    if entry is None:
        if is_too_often(turn, PROMO_CODES):
            return
        try:
            # What it brought is remembered with it: an update that is answered again must not redeem again.
            with transaction.atomic():
                entry = redeem_code(user=turn.user, code=code)
                asking.remember(turn, **{REDEEMED: {"cause": turn.key, "entry": entry.pk}})
        except PromoCodeRefused:
            asking.ask(turn, "promo")
            turn.say(texts("promo.refused"), keyboard)
            return
        except PromoCodeAlreadyRedeemed:
            asking.done(turn)
            turn.say(texts("promo.already"), keyboard)
            return
    points = texts("menu.points", count=entry.amount)
    balance = texts("menu.points", count=entry.balance_after)
    turn.say(texts("promo.redeemed", points=points, balance=balance), keyboard)


def _redeemed_before(turn: Turn) -> LedgerEntry | None:
    last = turn.chat.draft.get(REDEEMED)
    if last is None or last["cause"] != turn.key:
        return None
    return LedgerEntry.objects.filter(pk=last["entry"], user=turn.user).first()
