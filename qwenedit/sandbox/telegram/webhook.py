"""The sender of updates to the bot's webhook.

Owns: lanes (one per chat, in order, different ones at once), repetition with growing pauses, the last error.
An update is sent until it is answered with 2xx. A method in the answer's body is carried out.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl

import aiohttp

from qwenedit.sandbox.telegram.parameters import Parameters
from qwenedit.sandbox.telegram.records import Update
from qwenedit.sandbox.telegram.store import Store
from qwenedit.sandbox.telegram.updates import Updates

SETTING = "webhook"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
GOOD = range(200, 300)

Perform = Callable[[str, Parameters], Awaitable[object]]


@dataclass(frozen=True)
class Destination:
    """Where updates are sent; an empty URL is nowhere."""

    url: str = ""
    secret: str = ""
    max_connections: int = 40


class Webhook:
    """The sender. `open` and `close` belong to the running server; `perform` carries out methods."""

    def __init__(self, store: Store, updates: Updates, perform: Perform, flush: Callable[[], None]) -> None:
        self._store = store
        self._updates = updates
        self._perform = perform
        self._flush = flush
        self._session: aiohttp.ClientSession | None = None
        self._lanes: dict[int, deque[Update]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: tuple[int, str] | None = None
        self.destination = Destination(**store.setting(SETTING, {}))
        self._free = asyncio.Semaphore(self.destination.max_connections)
        updates.listeners.append(self._queue)

    def open(self) -> None:
        """Get ready to send, and go on with what is pending."""
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT,
            connector=aiohttp.TCPConnector(limit=0, ssl=False),
            json_serialize=_dumps,
        )
        self._start()

    async def close(self) -> None:
        """Stop sending."""
        self._stop()
        if self._session is not None:
            await self._session.close()

    def point_to(self, destination: Destination) -> None:
        """Send to another place from now on, pending updates included."""
        self._stop()
        self.destination = destination
        self._store.set(SETTING, asdict(destination))
        self._free = asyncio.Semaphore(destination.max_connections)
        self._error = None
        self._start()

    def last_error(self) -> dict[str, Any]:
        """Return when and why sending failed last, as getWebhookInfo says it."""
        if self._error is None:
            return {}
        return {"last_error_date": self._error[0], "last_error_message": self._error[1]}

    def _start(self) -> None:
        for update in self._updates.pending:
            self._queue(update)

    def _stop(self) -> None:
        for task in self._tasks:
            # A method in a webhook's answer may be what stops the webhook.
            if task is not asyncio.current_task():
                task.cancel()
        self._tasks.clear()
        self._lanes.clear()

    def _queue(self, update: Update) -> None:
        if not self.destination.url or self._session is None:
            return
        lane = self._lanes.get(update.lane)
        if lane is not None:
            lane.append(update)
            return
        self._lanes[update.lane] = deque((update,))
        task = asyncio.create_task(self._empty(update.lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _empty(self, name: int) -> None:
        lane = self._lanes[name]
        while lane:
            pause = FIRST_PAUSE
            while not await self._deliver(lane[0]):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            self._updates.confirm(lane.popleft())
            self._flush()
        if self._lanes.get(name) is lane:
            del self._lanes[name]

    async def _deliver(self, update: Update) -> bool:
        """Send an update; return whether it was taken."""
        if self._session is None:
            raise RuntimeError("the sender is not open")
        headers = {HEADER: self.destination.secret} if self.destination.secret else {}
        async with self._free:
            try:
                async with self._session.post(
                    self.destination.url, json=update.body, headers=headers, allow_redirects=False
                ) as answer:
                    body = await answer.read()
                    status, content_type = answer.status, answer.content_type
                    reason = answer.reason or ""
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                self._failed(_complaint(error))
                return False
        if status not in GOOD:
            self._failed(f"Wrong response from the webhook: {status} {reason}".rstrip())
            return False
        await self._carry_out(body, content_type)
        return True

    def _failed(self, text: str) -> None:
        self._error = (int(time.time()), text)

    async def _carry_out(self, body: bytes, content_type: str) -> None:
        values = _values(body, content_type)
        method = values.pop("method", None)
        if isinstance(method, str):
            await self._perform(method, Parameters(values))


def _values(body: bytes, content_type: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        if content_type == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode()))
        value = json.loads(body)
        if isinstance(value, Mapping):
            return dict(value)
    return {}


def _complaint(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "Connection timed out"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "Connection refused"
    return "Connection reset by peer"


def _dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)
