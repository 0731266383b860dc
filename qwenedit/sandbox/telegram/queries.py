"""Questions that a person's app asks the bot and waits for: a pressed button, a payment about to be made.

Owns: their ids, how long they live, what they were answered. They do not outlive the process.
"""

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from qwenedit.sandbox.telegram.errors import Refusal, bad_request

ANSWER_SECONDS = 10.0
CALLBACK_LIFETIME = 30.0
TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


@dataclass
class Query:
    """One question. `answer` is None until the bot has answered."""

    id: str
    chat_id: int
    expires: float
    answer: dict[str, Any] | None = None
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, timeout: float = ANSWER_SECONDS) -> dict[str, Any] | None:
        """Return the bot's answer, None if there was none in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.answered.wait()
        return self.answer


class Queries:
    """The open questions of one server, of one kind; each can be answered once."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._open: dict[str, Query] = {}

    def ask(self, chat_id: int, query_id: str = "") -> Query:
        """Open a question, under an id of one's own if it is given."""
        now = time.monotonic()
        self._open = {key: query for key, query in self._open.items() if query.expires > now}
        key = query_id or str(secrets.randbelow(9 * 10**17) + 10**17)
        query = Query(key, chat_id, now + self._lifetime)
        self._open[query.id] = query
        return query

    def answer(self, query_id: str, answer: dict[str, Any]) -> Query:
        """Close a question; raise Refusal if it is not open."""
        query = self._open.pop(query_id, None)
        if query is None or query.expires <= time.monotonic():
            raise self.refusal()
        query.answer = answer
        query.answered.set()
        return query

    def refusal(self) -> Refusal:
        """Return the refusal of an answer to no open question."""
        return bad_request(TOO_OLD)

    def clear(self) -> None:
        """Forget every question; nobody waits any longer."""
        for query in self._open.values():
            query.answered.set()
        self._open.clear()
