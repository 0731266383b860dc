"""Telegram's Bot API: one shared Bot for each process, on an event loop in a thread of its own.

    call(lambda bot: bot.send_message(chat_id, "Hello"))

python-telegram-bot is asynchronous and the rest of the project is not: the loop keeps the Bot's connections
alive from call to call. Knows addresses, time-outs and what a failure says of the call; nothing of chats.
Without BOT_TOKEN the stand-in serves.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import httpx
from django.conf import settings
from telegram import Bot, User
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.request import HTTPXRequest

T = TypeVar("T")
# Spans of time as such: numbers of seconds are deprecated, and warned of at every RetryAfter.
os.environ.setdefault("PTB_TIMEDELTA", "true")

REFUSALS = (BadRequest, Forbidden, InvalidToken, RetryAfter, Conflict, ChatMigrated)
API_URL = "https://api.telegram.org"
SANDBOX_TOKEN = "100001:sandbox"  # noqa: S105 - the password of a stand-in
POOL_SIZE = 64
POLL_SECONDS = 25  # how long Telegram holds a request for updates open
READ_TIMEOUT = 20.0
MEDIA_WRITE_TIMEOUT = 60.0
LONGEST_CALL = 180.0  # a bound for a loop that hangs; the time-outs above are what ends a call


def call(make: Callable[[Bot], Awaitable[T]]) -> T:
    """Make a call from any thread and return its answer. Raises what python-telegram-bot raises."""
    return _line().run(make)


def set_off(make: Callable[[Bot], Awaitable[object]], *, on_failure: Callable[[BaseException], None]) -> None:
    """Make a call and do not wait for its answer; `on_failure` is told, in another thread, what it raises."""

    def end(call: Future[object]) -> None:
        error = call.exception()
        if error is not None:
            on_failure(error)

    _line().start(make).add_done_callback(end)


def identity() -> User:
    """Return the bot's own user, asked for once. Raises TelegramError."""
    return _line().identity()


def fetch_updates(*, offset: int | None, allowed: list[str]) -> list[dict[str, Any]]:
    """Wait up to POLL_SECONDS for updates from number `offset` on; return them as Telegram sent them.

    Raises TelegramError.
    """
    return _line().run(lambda bot: bot.raw_updates(offset, allowed))


def token() -> str:
    """Return the token the bot signs in with."""
    return settings.BOT_TOKEN or SANDBOX_TOKEN


def api_url() -> str:
    """Return the base of the Bot API."""
    # The real API refuses a made-up token: without one, any other address is that of a stand-in, ours or not.
    is_named = bool(settings.BOT_TOKEN) or settings.TELEGRAM_API_URL != API_URL
    return str(settings.TELEGRAM_API_URL if is_named else settings.SANDBOX_TELEGRAM_URL)


def happened_not(error: TelegramError) -> bool:
    """Tell whether a call that failed has certainly done nothing: then it may be repeated without a double.

    A refusal is certain, and so is a request that never left. After a time-out or a lost connection nobody
    knows, nor after a 5xx: a Bot API that restarts answers so to calls under way, and so does a proxy that
    waited in vain.
    """
    if isinstance(error, REFUSALS):
        return True
    return isinstance(error.__cause__, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))


def seconds_to_wait(error: RetryAfter) -> float:
    """Return how long Telegram asks to be left alone."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def is_final(error: TelegramError) -> bool:
    """Tell whether the same call would be refused again."""
    return isinstance(error, (BadRequest, Forbidden, InvalidToken))


class _Bot(Bot):
    """The library's Bot, and updates as they came: one that it can not read must not stop the others."""

    async def raw_updates(self, offset: int | None, allowed: list[str]) -> list[dict[str, Any]]:
        """Call getUpdates."""
        data = {"timeout": POLL_SECONDS, "allowed_updates": allowed, "offset": offset}
        answer: Any = await self._post(
            "getUpdates", {key: value for key, value in data.items() if value is not None}
        )
        return list(answer)


class _Line:
    """The Bot, its loop and the loop's thread."""

    def __init__(self, bot_token: str, url: str) -> None:
        # Two HTTP clients would each read the certificates: half of what a Bot costs.
        context = httpx.create_ssl_context()
        common: dict[str, Any] = {"connect_timeout": 5.0, "httpx_kwargs": {"verify": context}}
        self._bot = _Bot(
            bot_token,
            base_url=f"{url}/bot",
            base_file_url=f"{url}/file/bot",
            request=HTTPXRequest(
                connection_pool_size=POOL_SIZE,
                pool_timeout=10.0,
                read_timeout=READ_TIMEOUT,
                write_timeout=READ_TIMEOUT,
                media_write_timeout=MEDIA_WRITE_TIMEOUT,
                **common,
            ),
            get_updates_request=HTTPXRequest(
                connection_pool_size=1, read_timeout=POLL_SECONDS + 10.0, **common
            ),
        )
        self._loop = asyncio.new_event_loop()
        self._me: User | None = None
        threading.Thread(target=self._loop.run_forever, name="bot-api", daemon=True).start()

    def start(self, make: Callable[[_Bot], Awaitable[T]]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(_coroutine(make, self._bot), self._loop)

    def run(self, make: Callable[[_Bot], Awaitable[T]]) -> T:
        future = self.start(make)
        try:
            return future.result(LONGEST_CALL)
        except TimeoutError as error:
            future.cancel()
            raise TimedOut("no answer within all bounds") from error

    def identity(self) -> User:
        if self._me is None:
            self._me = self.run(lambda bot: bot.get_me())
        return self._me


def _coroutine(make: Callable[[_Bot], Awaitable[T]], bot: _Bot) -> Coroutine[Any, Any, T]:
    async def made() -> T:
        return await make(bot)

    return made()


_making = threading.Lock()


def _line() -> _Line:
    with _making:  # two threads at once would make two
        return _line_to(token(), api_url())


@cache
def _line_to(bot_token: str, url: str) -> _Line:
    return _Line(bot_token, url)


# A loop's thread does not survive a fork, and a connection that two processes share mixes up answers.
os.register_at_fork(after_in_child=_line_to.cache_clear)
