"""The sender of notifications: who is told, how often, and what came of it.

Owns: the schedule of redeliveries, the pause, the journal of attempts. Must not know what an event means.

A notification is delivered until it is answered with 200: at the event, and then at the moments of SCHEDULE.
They are counted from the event, so that the last one falls within the 24 hours that YooKassa promises.
"""

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp

from qwenedit.sandbox.yookassa.clock import Clock
from qwenedit.sandbox.yookassa.records import Delivery, moment
from qwenedit.sandbox.yookassa.store import Store

SCHEDULE = (10.0, 42.0, 84.0, 168.0, 672.0, 5376.0, 86_016.0)
TIMEOUT = aiohttp.ClientTimeout(total=10)
JOURNAL_LENGTH = 20_000
ANSWER_LENGTH = 500
ORDERS = ("kept", "reversed")
USER_AGENT = "AHC/2.1"


@dataclass
class Sending:
    """How notifications are sent: to `url` (empty: nowhere), each `copies` times, one by one or at once."""

    url: str = ""
    copies: int = 1
    parallel: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Webhooks:
    """The sender. `open` and `close` belong to the running server."""

    def __init__(self, sending: Sending, clock: Clock, store: Store) -> None:
        self.sending = sending
        self.paused = False
        self.journal = _new_journal()
        self._clock = clock
        self._store = store
        self._held: list[str] = []
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Get ready to send, and go on with what a former process left undelivered."""
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT,
            # A receiver that restarts would break connections that are kept.
            connector=aiohttp.TCPConnector(ssl=False, force_close=True),
            auto_decompress=False,
        )
        for delivery in self._store.deliveries.rows.values():
            self._plan(delivery)

    async def close(self) -> None:
        """Stop sending."""
        if self._session is not None:
            await self._session.close()

    def notify(self, event: str, obj: dict[str, Any]) -> None:
        """Tell the shop of an event, if it wants to be told."""
        if not self.sending.url:
            return
        delivery = Delivery(uuid.uuid4().hex, event, obj, self._clock.now())
        self._store.deliveries.save(delivery)
        self._plan(delivery)

    def pause(self) -> None:
        """Hold back every delivery until `resume`."""
        self.paused = True

    async def resume(self, order: str) -> None:
        """Deliver what was held back, one after the other, in one of ORDERS."""
        self.paused = False
        held, self._held = self._held, []
        for key in reversed(held) if order == "reversed" else held:
            await self._deliver(key)

    def state(self) -> dict[str, Any]:
        """Return the settings and what is on its way."""
        return {
            "url": self.sending.url,
            "copies": self.sending.copies,
            "parallel": self.sending.parallel,
            "headers": self.sending.headers,
            "paused": self.paused,
            "held": len(self._held),
            "undelivered": len(self._store.deliveries.rows),
            "attempts": len(self.journal),
        }

    def reset(self) -> None:
        """Forget what was held back and the journal, and go on sending."""
        self.paused = False
        self._held.clear()
        # A new one: an attempt that is still under way belongs to the past.
        self.journal = _new_journal()

    async def send(self, body: bytes, sending: Sending, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Send a body as `sending` says; return what came of every copy, as it stands in the journal."""
        attempts = (self._post(body, sending, about) for _ in range(sending.copies))
        if sending.parallel:
            return list(await asyncio.gather(*attempts))
        return [await attempt for attempt in attempts]

    def _plan(self, delivery: Delivery) -> None:
        due = delivery.created_at + (0.0, *SCHEDULE)[delivery.step]
        self._clock.call_at(due, partial(self._deliver, delivery.id))

    async def _deliver(self, key: str) -> None:
        if self.paused:
            self._held.append(key)
            return
        delivery = self._store.deliveries.get(key)
        if delivery is None:
            return
        delivery.step += 1
        about = {
            "event": delivery.event,
            "object_id": delivery.object.get("id"),
            "object_status": delivery.object.get("status"),
            "attempt": delivery.step,
        }
        body = notification(delivery.event, delivery.object)
        outcomes = await self.send(body, self.sending, about)
        if _is_delivered(outcomes) or delivery.step > len(SCHEDULE):
            self._store.deliveries.delete(key)
        elif self._store.deliveries.get(key) is delivery:
            self._store.deliveries.save(delivery)
            self._plan(delivery)

    async def _post(self, body: bytes, sending: Sending, about: Mapping[str, Any]) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the sender is not open")
        entry: dict[str, Any] = {
            **about,
            "at": moment(self._clock.now()),
            "url": sending.url,
            "bytes": len(body),
            "status": None,
            "answer": "",
            "error": "",
        }
        journal = self.journal
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT, **sending.headers}
        try:
            async with self._session.post(
                sending.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                entry["status"] = response.status
                entry["answer"] = (await response.content.read(ANSWER_LENGTH)).decode(errors="replace")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            entry["error"] = f"{type(error).__name__}: {error}"
        journal.append(entry)
        return entry


def notification(event: str, obj: object) -> bytes:
    """Return the body of a notification."""
    body = {"type": "notification", "event": event, "object": obj}
    return json.dumps(body, ensure_ascii=False).encode()


def _new_journal() -> deque[dict[str, Any]]:
    return deque(maxlen=JOURNAL_LENGTH)


def _is_delivered(outcomes: Iterable[Mapping[str, Any]]) -> bool:
    return any(outcome["status"] == 200 for outcome in outcomes)
