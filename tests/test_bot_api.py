"""What a failed call says of its deed: whether it may be repeated without a double."""

import httpx
import pytest
from telegram import Bot
from telegram.error import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from qwenedit import bot_api
from tests.telegram import Telegram
from tests.waiting import wait_until

CHAT = 1


def failed(error: TelegramError, cause: Exception | None = None) -> TelegramError:
    """Return an error as python-telegram-bot raises it."""
    error.__cause__ = cause
    return error


def test_what_was_refused_or_never_left_has_certainly_not_happened() -> None:
    for error in (
        BadRequest("chat not found"),
        Forbidden("blocked"),
        InvalidToken("Unauthorized"),
        Conflict("another poller"),
        RetryAfter(1),
        failed(NetworkError("x"), httpx.ConnectError("refused")),
        failed(TimedOut(), httpx.ConnectTimeout("slow")),
        failed(TimedOut(), httpx.PoolTimeout("busy")),
    ):
        assert bot_api.happened_not(error), error


def test_of_what_was_sent_and_not_answered_nobody_knows() -> None:
    for error in (
        failed(TimedOut(), httpx.ReadTimeout("slow")),
        failed(NetworkError("x"), httpx.RemoteProtocolError("cut")),
        NetworkError("Bad Gateway"),
        TelegramError("Invalid server response"),
        TimedOut("no answer within all bounds"),
    ):
        assert not bot_api.happened_not(error), error


@pytest.mark.parametrize("code", [500, 502, 504])
def test_a_server_that_fails_may_have_done_it_all_the_same(telegram: Telegram, code: int) -> None:
    telegram.act("user", user_id=CHAT, first_name="Eve")
    telegram.act("message", user_id=CHAT, text="/start")
    telegram.fault(method="sendMessage", code=code, processed=True)

    with pytest.raises(NetworkError) as raised:
        bot_api.call(lambda bot: bot.send_message(CHAT, "Hello"))

    assert not bot_api.happened_not(raised.value)
    assert telegram.words(CHAT) == ["Hello"]


def test_a_call_that_is_not_waited_for_tells_of_its_failure(telegram: Telegram) -> None:
    failures: list[BaseException] = []

    async def refused(_bot: Bot) -> None:
        raise BadRequest("query is too old")

    bot_api.set_off(refused, on_failure=failures.append)
    wait_until(lambda: failures)
    assert isinstance(failures[0], BadRequest)
