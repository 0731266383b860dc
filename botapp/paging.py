"""Long lists, a page at a time: which rows a page holds, and the buttons that turn it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet
from telegram import InlineKeyboardButton

from botapp.keyboards import button

Row = TypeVar("Row", bound=Model)
MOST_DIGITS = 6


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows of a list. Pages count from 0."""

    number: int
    rows: Sequence[Row]
    is_last: bool

    def turners(self, name: str) -> list[InlineKeyboardButton]:
        """Return the buttons to the pages before and after, which the handler `name` shows."""
        before = [button("‹", name, self.number - 1)] if self.number else []
        after = [] if self.is_last else [button("›", name, self.number + 1)]
        return [*before, *after]


def page_of(query: QuerySet[Row], argument: str, size: int) -> Page[Row]:
    """Return the page that a button's argument names; the first one for anything else, or beyond the end."""
    is_number = argument.isascii() and argument.isdecimal() and len(argument) <= MOST_DIGITS
    number = int(argument) if is_number else 0
    rows = list(query[number * size : (number + 1) * size + 1])
    if number and not rows:
        return page_of(query, "0", size)
    return Page(number, rows[:size], is_last=len(rows) <= size)
