"""Who follows which job in this process, and how they hear of it: one reader of rows for all of them.

A hint (`jobs.news`) makes the hub look at the jobs it names, a clock at all of them: a hint may be lost, the
row is the truth. However many listen, there are one subscription, one thread and one database connection at a
time, and none where nobody listens. Knows nothing of HTTP. All but `has_room` belongs to the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import structlog
from django.conf import settings

from jobs import news
from qwenedit.api.snapshots import Snapshot, Topic, changes

logger = structlog.get_logger(__name__)

# Seconds.
LOOK_EVERY = 2.0  # at all jobs that somebody follows
BREATH = 0.1  # between two looks: hints that come meanwhile share one


class Listener:
    """One listener's place. It keeps the newest snapshot alone: whoever is slow misses what lies between."""

    def __init__(self, seen: Snapshot) -> None:
        self.is_over = False
        self._seen = seen
        self.newest = seen
        self._news = asyncio.Event()

    async def next(self, *, timeout: float) -> Snapshot | None:
        """Return the next snapshot that is news; None once it is over, or after `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()
        self._news.clear()
        if self.is_over or self.newest == self._seen:
            return None
        self._seen = self.newest
        return self._seen

    def show(self, snapshot: Snapshot) -> None:
        """Offer a snapshot."""
        if snapshot != self.newest:
            self.newest = snapshot
            self._news.set()

    def end(self) -> None:
        """Tell the listener that nothing more will come."""
        self.is_over = True
        self._news.set()


@dataclass
class _Room:
    """Those who listen to one topic, and what all of them were shown; None where that differs."""

    shown: Snapshot | None
    listeners: set[Listener] = field(default_factory=set)


class Hub:
    """All listeners of one process, by topic."""

    def __init__(self) -> None:
        self.is_closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hub")
        self._rooms: dict[Topic, _Room] = {}
        # They enter their rooms between two looks: what is being read now may be older than what they saw.
        self._arrivals: dict[Listener, Topic] = {}
        self._open: Counter[int] = Counter()
        self._hinted: set[int] = set()
        self._wake = asyncio.Event()
        self._look_at_all = False
        self._task: asyncio.Task[None] | None = None

    def has_room(self, user_id: int) -> bool:
        """Whether a user may have one more listener in this process."""
        return self._open[user_id] < settings.MAX_EVENT_STREAMS_PER_USER

    @contextmanager
    def listening(self, topic: Topic, *, user_id: int, seen: Snapshot) -> Iterator[Listener]:
        """Keep a listener for the length of a `with` block. It is over at once where there is no room."""
        listener = Listener(seen)
        if self.is_closed or not self.has_room(user_id):
            listener.end()
            yield listener
            return
        self._open[user_id] += 1
        self._arrivals[listener] = topic
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield listener
        finally:
            self._leave(topic, listener)
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    def close(self) -> None:
        """End all listeners, and whoever comes later at once: the server stops."""
        self.is_closed = True
        for room in self._rooms.values():
            for listener in room.listeners:
                listener.end()
        for listener in self._arrivals:
            listener.end()

    def _leave(self, topic: Topic, listener: Listener) -> None:
        if self._arrivals.pop(listener, None) is None:
            room = self._rooms[topic]
            room.listeners.discard(listener)
            if not room.listeners:
                del self._rooms[topic]
        if not self._rooms and not self._arrivals and self._task is not None:
            self._task.cancel()
            self._task = None

    def _enter(self) -> set[Topic]:
        """Let those who came meanwhile into their rooms; return the topics they came for."""
        arrivals, self._arrivals = self._arrivals, {}
        for listener, topic in arrivals.items():
            room = self._rooms.setdefault(topic, _Room(shown=listener.newest))
            room.listeners.add(listener)
            if room.shown != listener.newest:  # who has seen less than the others is not known
                room.shown = None
        return set(arrivals.values())

    def _hear(self, job_id: int | None) -> None:
        if job_id is None:
            self._look_at_all = True
        else:
            self._hinted.add(job_id)
        self._wake.set()

    async def _run(self) -> None:
        hints = asyncio.create_task(news.follow(self._hear))
        try:
            while True:
                await self._look_around()
        finally:
            # Again and again: redis-py loses a cancellation that comes while it connects.
            while not hints.done():
                hints.cancel()
                await asyncio.wait({hints}, timeout=BREATH)

    async def _look_around(self) -> None:
        """Look at all once, then at what hints name, until it is time to look at all again."""
        loop = asyncio.get_running_loop()
        self._look_at_all, again_at = False, loop.time() + LOOK_EVERY
        await self._look(everything=True)
        while not self._look_at_all and loop.time() < again_at:
            await asyncio.sleep(BREATH)
            try:
                async with asyncio.timeout_at(again_at):
                    await self._wake.wait()
            except TimeoutError:
                return
            await self._look(everything=False)

    async def _look(self, *, everything: bool) -> None:
        hinted, self._hinted = self._hinted, set()
        self._wake.clear()
        entered = self._enter()
        rooms = {
            topic: room
            for topic, room in self._rooms.items()
            if everything or topic in entered or topic.job_id in hinted
        }
        if not rooms:
            return
        shown = {topic: room.shown for topic, room in rooms.items()}
        try:
            changed = await asyncio.get_running_loop().run_in_executor(self._thread, changes, shown)
        except Exception:
            logger.exception("Jobs that are followed can not be read, the next look tries again")
            return
        for topic, snapshot in changed.items():
            rooms[topic].shown = snapshot
            for listener in rooms[topic].listeners:
                if snapshot is None:
                    listener.end()
                else:
                    listener.show(snapshot)
