"""The person's own page: balance, language, and the way to everything that is theirs."""

from __future__ import annotations

from django.conf import settings
from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from botapp import keyboards
from botapp.keyboards import button
from botapp.texts import LANGUAGES, SafeText, Texts
from botapp.turn import Turn
from qwenedit.users.models import User


def balance(turn: Turn) -> None:
    """Say how many points there are, and what they are good for."""
    texts = turn.texts
    promo = button(texts("profile.promo"), "promo")
    turn.show(
        _wealth(turn), keyboards.rows([button(texts("profile.topup"), "topup"), promo], way_back(texts))
    )


def show(turn: Turn) -> None:
    """Show the profile."""
    name = turn.user.first_name or turn.texts("profile.nameless")
    turn.show(f"{turn.texts('profile.head', name=name)}\n{_wealth(turn)}", _keyboard(turn.texts))


def languages(turn: Turn) -> None:
    """Ask for the language."""
    choices = [button(label, "setlang", code) for code, label in User.Language.choices]
    turn.show(turn.texts("profile.ask_language"), keyboards.rows(choices, way_back(turn.texts)))


def set_language(turn: Turn) -> None:
    """Speak another language from now on."""
    if turn.argument not in LANGUAGES:
        return
    User.objects.filter(pk=turn.user.pk).update(language=turn.argument)
    turn.user.language = turn.argument
    turn.texts = Texts(turn.argument)
    turn.show(turn.texts("profile.language_set"), _keyboard(turn.texts))


def way_back(texts: Texts) -> list[InlineKeyboardButton]:
    """Return the buttons that lead from a page of the profile to others."""
    return [button(texts("profile.back"), "profile"), button(texts("menu.to_menu"), "menu")]


def _wealth(turn: Turn) -> SafeText:
    texts, points = turn.texts, turn.balance
    words = texts("profile.balance", points=texts("menu.points", count=points))
    if settings.EDIT_COST and points >= settings.EDIT_COST:
        words = SafeText(f"{words}\n{texts('profile.enough', count=points // settings.EDIT_COST)}")
    return words


def _keyboard(texts: Texts) -> InlineKeyboardMarkup:
    return keyboards.rows(
        [button(texts("profile.topup"), "topup"), button(texts("profile.promo"), "promo")],
        [button(texts("profile.edits"), "edits"), button(texts("profile.favourites"), "favs")],
        [button(texts("profile.money"), "moneylog"), button(texts("profile.invite"), "invite")],
        [button(texts("profile.language"), "lang"), button(texts("profile.forget"), "forget")],
        [button(texts("menu.to_menu"), "menu")],
    )
