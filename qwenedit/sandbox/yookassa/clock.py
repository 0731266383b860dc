"""A clock that can be put forward, and what is due by it.

Owns: the distance to real time and the agenda. Must not know what the entries do.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

Action = Callable[[], Awaitable[None]]


class Clock:
    """Seconds since 1970 in whole milliseconds, as the API shows them. `after` runs after every action."""

    def __init__(self, ahead: float = 0.0, after: Callable[[], None] = lambda: None) -> None:
        self.ahead = ahead
        self._after = after
        self._agenda: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def now(self) -> float:
        """Return the present time."""
        return round(time.time() + self.ahead, 3)

    def call_at(self, due: float, action: Action) -> None:
        """Run an action once `due` has come; at once if it has."""
        heapq.heappush(self._agenda, (due, next(self._numbers), action))
        self._changed.set()

    async def advance(self, seconds: float) -> None:
        """Move forward; do what falls due on the way, each at its own moment, one after the other."""
        target = self.now() + seconds
        while self._agenda and self._agenda[0][0] <= target:
            due, _, action = heapq.heappop(self._agenda)
            self._move_to(due)
            await self._perform(action)
        self._move_to(target)
        self._changed.set()

    async def run(self) -> None:
        """Do what falls due as time passes, until cancelled; raises what an action raises."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._changed.clear()
                while self._agenda and self._agenda[0][0] <= self.now():
                    tasks.create_task(self._perform(heapq.heappop(self._agenda)[2]))
                wait = max(0.001, self._agenda[0][0] - self.now()) if self._agenda else None
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._changed.wait()

    def clear(self) -> None:
        """Forget everything that is due later."""
        self._agenda.clear()

    async def _perform(self, action: Action) -> None:
        await action()
        self._after()

    def _move_to(self, moment: float) -> None:
        self.ahead += max(0.0, moment - self.now())
