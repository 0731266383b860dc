"""Buttons: how they are named, and how they are laid out.

`data("job:again", 17)` is what a button carries: the name of its handler and numbers or slugs, at most 64
bytes. Words and people's texts never travel in buttons.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

MOST_DATA = 64
ROW_WIDTH = 2


def data(name: str, *arguments: object) -> str:
    """Return what a button carries. Raises ValueError where it does not fit."""
    text = ":".join([name, *(str(argument) for argument in arguments)])
    if len(text.encode()) > MOST_DATA:
        raise ValueError(f"a button can not carry {text!r}")
    return text


def button(text: str, name: str, *arguments: object, style: str | None = None) -> InlineKeyboardButton:
    """Return a button; `style` is `primary`, `success` or `danger`."""
    return InlineKeyboardButton(text, callback_data=data(name, *arguments), style=style)


def link(text: str, url: str) -> InlineKeyboardButton:
    """Return a button that opens an address."""
    return InlineKeyboardButton(text, url=url)


def rows(*rows: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    """Return a keyboard of these rows; empty ones are left out."""
    return InlineKeyboardMarkup([list(row) for row in rows if row])


def grid(buttons: Iterable[InlineKeyboardButton], width: int = ROW_WIDTH) -> list[list[InlineKeyboardButton]]:
    """Lay buttons out in rows of `width`."""
    laid = list(buttons)
    return [laid[start : start + width] for start in range(0, len(laid), width)]
