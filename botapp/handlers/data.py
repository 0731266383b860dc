"""Deleting one's data: said honestly what goes and what must stay, then asked once more, then done."""

from __future__ import annotations

import time

from botapp import data, keyboards
from botapp.handlers import menu
from botapp.keyboards import button
from botapp.turn import Turn
from jobs.erasure import NotAllErased

GOOD_FOR = 3600  # seconds: an old button must not delete what was made since


def ask(turn: Turn) -> None:
    """Say what is deleted and what stays, and ask."""
    texts = turn.texts
    yes = button(texts("data.yes"), "forgetyes", int(time.time()), style="danger")
    no = button(texts("data.no"), "profile")
    turn.show(texts("data.ask"), keyboards.rows([yes], [no]))


def delete(turn: Turn) -> None:
    """Delete the data; asked again where the question is too old."""
    asked_at = int(turn.argument) if turn.argument.isdecimal() else 0
    if not 0 <= time.time() - asked_at <= GOOD_FOR:
        ask(turn)
        return
    turn.acknowledge()
    try:
        data.erase(turn.chat)
    except NotAllErased:
        turn.say(turn.texts("data.not_all"), menu.to_menu(turn))
        return
    balance = turn.texts("menu.points", count=turn.balance)
    turn.show(turn.texts("data.done", balance=balance), menu.to_menu(turn))
