"""The main menu, and the pages that only inform."""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings
from telegram import InlineKeyboardMarkup
from telegram.error import BadRequest

from botapp import keyboards
from botapp.handlers import drafting
from botapp.keyboards import button
from botapp.turn import Turn, support_contact
from qwenedit import bot_api


def main(turn: Turn) -> None:
    """Show the main menu; what was being asked for is dropped, what was chosen stays."""
    turn.show(turn.texts("menu.main", points=turn.texts("menu.points", count=turn.balance)), keyboard(turn))


def keyboard(turn: Turn) -> InlineKeyboardMarkup:
    """Return the main menu's buttons: the outermost shelves and own words, then everything else."""
    texts = turn.texts
    return keyboards.rows(
        *drafting.shelf_rows(texts),
        [button(texts("menu.knowledge"), "kb"), button(texts("menu.profile"), "profile")],
        [button(texts("menu.help_button"), "help")],
    )


def to_menu(turn: Turn) -> InlineKeyboardMarkup:
    """Return the one button that leads to the main menu."""
    return keyboards.rows([button(turn.texts("menu.to_menu"), "menu")])


def help_(turn: Turn) -> None:
    """Say how it works."""
    words = turn.texts("menu.help", points=turn.texts("menu.points", count=settings.EDIT_COST))
    turn.show(words + support(turn), to_menu(turn))


def terms(turn: Turn) -> None:
    """Show the terms of use."""
    days = turn.texts("menu.days", count=settings.RESULT_RETENTION_DAYS)
    turn.show(turn.texts("menu.terms", days=days) + support(turn), to_menu(turn))


def privacy(turn: Turn) -> None:
    """Say what is kept of a person, and for how long."""
    days = turn.texts("menu.days", count=settings.RESULT_RETENTION_DAYS)
    turn.show(turn.texts("menu.privacy", days=days) + support(turn), to_menu(turn))


def pay_support(turn: Turn) -> None:
    """Say what to do when something is wrong with a payment. Telegram demands an answer to this command."""
    texts, person, contact = turn.texts, str(turn.user.pk), support_contact()
    if contact:
        more = texts("menu.pay_support_write", person=person, contact=contact)
    else:
        more = texts("menu.pay_support_wait", person=person)
    turn.show(f"{texts('menu.pay_support')}\n\n{more}", to_menu(turn))


def cancel(turn: Turn) -> None:
    """Drop whatever was being asked for."""
    was_busy = bool(turn.chat.step or turn.chat.draft)
    turn.forget()
    turn.say(turn.texts("menu.cancelled" if was_busy else "menu.nothing_to_cancel"), to_menu(turn))


def close(turn: Turn) -> None:
    """Take a message of the bot's away."""
    turn.acknowledge()
    message = turn.message
    if message is not None:
        with suppress(BadRequest):
            bot_api.call(lambda bot: bot.delete_message(turn.chat.pk, message.message_id))


def unknown_command(turn: Turn) -> None:
    """Say that there is no such command."""
    turn.say(turn.texts("menu.unknown_command"), to_menu(turn))


def outdated(turn: Turn) -> None:
    """Say that a button is from an older version of the bot."""
    turn.acknowledge(turn.texts("menu.outdated"), alert=True)


def support(turn: Turn) -> str:
    """Return whom to write to, as a paragraph of its own, or nothing."""
    contact = support_contact()
    return "\n\n" + turn.texts("menu.support", contact=contact) if contact else ""
