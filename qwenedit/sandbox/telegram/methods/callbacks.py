"""Answers to pressed buttons and to inline queries."""

from typing import TYPE_CHECKING

from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.methods.common import Method
from qwenedit.sandbox.telegram.parameters import Parameters

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

LONGEST_TOAST = 200
MOST_RESULTS = 50


async def answer_callback_query(sandbox: "Sandbox", given: Parameters) -> bool:
    """Answer a pressed button, with a text to show if there is one."""
    text = given.text("text")
    if len(text) > LONGEST_TOAST:
        raise bad_request("MESSAGE_TOO_LONG")
    url = given.text("url")
    if url and not url.startswith(("https://t.me/", "tg://")):
        raise bad_request("URL_INVALID")
    show_alert = given.flag("show_alert")
    answer = {"text": text, "show_alert": show_alert} | ({"url": url} if url else {})
    query = sandbox.callbacks.answer(given.text("callback_query_id"), answer)
    chat = sandbox.chats.chat(query.chat_id)
    if text and chat is not None:
        sandbox.chats.toast(chat, text, show_alert=show_alert)
    return True


async def answer_inline_query(sandbox: "Sandbox", given: Parameters) -> bool:
    """Answer an inline query."""
    results = given.json("results", "inline query results")
    if not isinstance(results, list):
        raise bad_request("expected an Array of InlineQueryResult")
    if len(results) > MOST_RESULTS:
        raise bad_request("RESULTS_TOO_MUCH")
    sandbox.inline_queries.answer(given.text("inline_query_id"), {"results": results})
    return True


METHODS: dict[str, Method] = {
    "answerCallbackQuery": answer_callback_query,
    "answerInlineQuery": answer_inline_query,
}
