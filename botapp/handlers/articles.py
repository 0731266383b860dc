"""The knowledge base in the chat: a shelf of titles, and one article at a time, all in one message."""

from __future__ import annotations

import re
from html import escape

from telegram import InlineKeyboardMarkup

from botapp import keyboards
from botapp.keyboards import button
from botapp.models import Article
from botapp.turn import Turn

MOST_LISTED = 90  # Telegram takes a hundred buttons below a message
NUMBER = re.compile(r"[0-9]{1,18}")


def shelf(turn: Turn) -> None:
    """Show the titles."""
    articles = Article.objects.filter(is_active=True)[:MOST_LISTED]
    lines = [[button(turn.texts.title(article), "article", article.pk)] for article in articles]
    text = turn.texts("articles.shelf" if lines else "articles.none")
    turn.show(text, keyboards.rows(*lines, [button(turn.texts("menu.to_menu"), "menu")]))


def read(turn: Turn) -> None:
    """Show an article; where it is no longer there, say so and show the others."""
    articles = list(Article.objects.filter(is_active=True)[:MOST_LISTED])
    number = int(turn.argument) if NUMBER.fullmatch(turn.argument) else 0
    place = next((place for place, article in enumerate(articles) if article.pk == number), None)
    if place is None:
        turn.acknowledge(turn.texts("articles.gone"))
        shelf(turn)
        return
    article = articles[place]
    title = escape(turn.texts.title(article), quote=False)
    body = article.body_ru if turn.texts.language == "ru" else article.body_en
    turn.show(f"<b>{title}</b>\n\n{body}", _below(turn, articles[place + 1 : place + 2]))


def _below(turn: Turn, following: list[Article]) -> InlineKeyboardMarkup:
    return keyboards.rows(
        [button(turn.texts("articles.next"), "article", article.pk) for article in following],
        [button(turn.texts("articles.back"), "kb"), button(turn.texts("menu.to_menu"), "menu")],
    )
