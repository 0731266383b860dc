"""The queue of updates, and getUpdates.

Owns: the numbers of updates, their order, who polls. Must not know what an update tells.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qwenedit.sandbox.telegram.errors import Refusal, conflict
from qwenedit.sandbox.telegram.records import Update
from qwenedit.sandbox.telegram.store import Store

KINDS = (
    "message", "edited_message", "channel_post", "edited_channel_post", "business_connection",
    "business_message", "edited_business_message", "deleted_business_messages", "message_reaction",
    "message_reaction_count", "inline_query", "chosen_inline_result", "callback_query", "shipping_query",
    "pre_checkout_query", "purchased_paid_media", "poll", "poll_answer", "my_chat_member", "chat_member",
    "chat_join_request", "chat_boost", "removed_chat_boost", "managed_bot", "guest_message",
)  # fmt: skip
# Sent only to those who ask.
ON_DEMAND = frozenset(("chat_member", "message_reaction", "message_reaction_count"))
LAST = "last_update"
ALLOWED = "allowed_updates"
EPOCH = 1_767_225_600  # 2026-01-01
UPDATES_A_SECOND = 10
HISTORY = 5000
LONGEST_POLL = 50
OTHER_POLLER = "terminated by other getUpdates request; make sure that only one bot instance is running"


class Updates:
    """The updates of one server. `listeners` are called with each new one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.listeners: list[Callable[[Update], None]] = []
        self.history: deque[Update] = deque(store.updates.rows.values(), maxlen=HISTORY)
        self._again: list[Update] = []
        self._last = 0
        self._poll: asyncio.Future[None] | None = None

    @property
    def pending(self) -> list[Update]:
        """What the bot has not confirmed yet, oldest first."""
        return [*self._again, *self._store.updates.rows.values()]

    @property
    def allowed(self) -> list[str]:
        """The kinds the bot asked for; empty stands for the usual ones."""
        kinds: list[str] = self._store.setting(ALLOWED, [])
        return kinds

    def allow(self, kinds: Any) -> None:
        """Remember the kinds the bot wants; None keeps the former ones, unknown ones are ignored."""
        if isinstance(kinds, list):
            self._store.set(ALLOWED, [kind for kind in kinds if kind in KINDS])

    def add(self, kind: str, content: dict[str, Any], lane: int) -> int | None:
        """Queue an update and return its number, None if the bot does not want this kind."""
        allowed = self.allowed
        if kind not in allowed if allowed else kind in ON_DEMAND:
            return None
        return self.add_raw({kind: content}, lane)

    def add_raw(self, body: dict[str, Any], lane: int) -> int:
        """Queue an update as it is, under its own number if it has one; return the number."""
        number = body.get("update_id")
        if not isinstance(number, int):
            number = self._next()
        update = Update(number, lane, {"update_id": number} | body)
        self._store.updates.save(update)
        self.history.append(update)
        self._tell(update)
        return number

    def send_again(self, update_id: int | None) -> int:
        """Send an update once more, the newest unless told; raise ValueError if it is not known."""
        if not self.history:
            raise ValueError("there has been no update")
        known = {update.update_id: update for update in self.history}
        update = known.get(self.history[-1].update_id if update_id is None else update_id)
        if update is None:
            raise ValueError(f"there was no update {update_id}")
        self._again.append(update)
        self._tell(update)
        return update.update_id

    def confirm(self, update: Update) -> None:
        """Forget an update that the bot has taken."""
        if update in self._again:
            self._again.remove(update)
        else:
            self._store.updates.delete(update.update_id)

    def drop(self) -> None:
        """Forget whatever is pending."""
        self._again.clear()
        self._store.updates.clear()

    async def poll(self, *, offset: int, limit: int, timeout: float) -> list[dict[str, Any]]:
        """Answer getUpdates: what is pending from `offset` on, or wait for it."""
        self.stop_polling(conflict(OTHER_POLLER))
        self._skip(offset)
        deadline = time.monotonic() + timeout
        while not self.pending and (left := deadline - time.monotonic()) > 0:
            poll = self._poll = asyncio.get_running_loop().create_future()
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await poll
            finally:
                if self._poll is poll:
                    self._poll = None
        taken = self.pending[:limit]
        self._again = [update for update in self._again if update not in taken]
        return [update.body for update in taken]

    def stop_polling(self, refusal: Refusal) -> None:
        """End a long poll that waits."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_exception(refusal)
        self._poll = None

    def clear(self) -> None:
        """Forget everything; those who wait go on waiting."""
        self.history.clear()
        self._again.clear()

    def _skip(self, offset: int) -> None:
        numbers = [update.update_id for update in self._store.updates.rows.values()]
        if offset < 0:
            offset = numbers[offset] if -offset <= len(numbers) else 0
        for number in numbers:
            if number < offset:
                self._store.updates.delete(number)

    def _next(self) -> int:
        # By the clock, so that a bot that remembers numbers meets no old one after a restart or a reset.
        start = int((time.time() - EPOCH) * UPDATES_A_SECOND)
        self._last = (self._store.setting(LAST) or max(self._last, start)) + 1
        self._store.set(LAST, self._last)
        return self._last

    def _tell(self, update: Update) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)
        for listener in self.listeners:
            listener(update)
