"""Receiving by polling: Telegram is asked for updates, and told of them only once they are kept.

One process polls; a second one is told so by Telegram (409) and waits. Threads answer the chats.
"""

from __future__ import annotations

import threading
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import close_old_connections
from telegram.error import Conflict, Forbidden, InvalidToken, RetryAfter, TelegramError

from botapp import updates
from botapp.views import take
from qwenedit import bot_api

logger = structlog.get_logger(__name__)

CONFLICT_PAUSE = 5.0
LONGEST_PAUSE = 15.0


def poll(stop: threading.Event, answering: Executor) -> None:
    """Receive updates until `stop` is set; threads of `answering` answer them.

    Raises InvalidToken or Forbidden for a token that is refused.
    """
    offset: int | None = None
    failures = 0
    while not stop.is_set():
        try:
            found = bot_api.fetch_updates(offset=offset, allowed=updates.ALLOWED)
            for raw in found:
                if stop.is_set():
                    return  # what was not kept, Telegram keeps for the next start
                _keep(raw, stop, answering)
                offset = raw["update_id"] + 1
            failures = 0
        except (InvalidToken, Forbidden):
            raise
        except (TelegramError, DatabaseError) as error:
            failures += 1
            pause = _pause(error, failures)
            logger.warning("Updates can not be received, asked again", reason=str(error), seconds=pause)
            close_old_connections()
            stop.wait(pause)


def _keep(raw: dict[str, Any], stop: threading.Event, answering: Executor) -> None:
    try:
        chat_id = updates.keep(raw)
    except DatabaseError:
        raise  # Telegram is asked for it again
    except Exception:
        # Kept or not, the next one must come: an update that nobody can read is nobody's.
        logger.exception("An update could not be read", update_id=raw.get("update_id"))
        return
    if chat_id is not None and not stop.is_set():  # else the sweep has it answered
        with suppress(RuntimeError):  # the threads ended this very moment
            answering.submit(take, chat_id)


def _pause(error: Exception, failures: int) -> float:
    if isinstance(error, RetryAfter):
        return bot_api.seconds_to_wait(error)
    if isinstance(error, Conflict):
        return CONFLICT_PAUSE
    return min(LONGEST_PAUSE, 0.5 * 2.0**failures)
