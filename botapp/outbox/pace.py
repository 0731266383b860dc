"""How fast the bot speaks on its own account: one limit for all processes, kept in Valkey.

Every message takes the next free slot: one in 1/BOT_MESSAGES_PER_SECOND of a second overall, one a second in
each chat. Urgent lanes take slots ahead of time and sleep until theirs comes; progress may be a little early;
bulk takes a slot only where none was taken ahead, so that it delays nobody by more than one message. After a
refusal for speed (429) nobody speaks until the pause is over. Without Valkey each process keeps the same
limit for itself. Knows no rows.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

import redis
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from botapp.models import Lane
from botapp.outbox import NotYet

logger = structlog.get_logger(__name__)

CHAT_INTERVAL = 1.0  # seconds; Telegram's own advice for a chat
# How far ahead of its time a slot may be taken, in seconds.
URGENT_AHEAD = 2.0
EDIT_AHEAD = 0.25
CHAT_AHEAD = 0.25  # a longer wait for one chat would hold up the others
PATIENCE = 2.0
# Telegram does not say whether one chat is too fast or everybody. The chat waits as long as it was told, the
# others a moment; if another chat is refused as well, it is everybody.
SUSPICION = 60.0
MOMENT = 3.0

TIMEOUT = 0.5  # seconds for Valkey's answer
DOWN_FOR = 5.0  # seconds in which a Valkey that did not answer is not asked again
MOST_REMEMBERED = 1000
PREFIX = "qwenedit:pace:"

# KEYS: overall, chat, pause of all, pause of the chat. ARGV, microseconds: interval, interval of a chat, and
# how far ahead a slot may be, overall and in the chat. Returns the verdict and microseconds to wait.
TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local pause = redis.call('PTTL', KEYS[3])
if pause > 0 then return {3, pause * 1000} end
pause = redis.call('PTTL', KEYS[4])
if pause > 0 then return {2, pause * 1000} end
local overall = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local chat = math.max(now, tonumber(redis.call('GET', KEYS[2]) or '0'))
if chat - now > tonumber(ARGV[4]) then return {2, chat - now} end
if overall - now > tonumber(ARGV[3]) then return {1, overall - now} end
local slot = math.max(overall, chat)
redis.call('SET', KEYS[1], string.format('%.0f', overall + ARGV[1]), 'PX', 60000)
redis.call('SET', KEYS[2], string.format('%.0f', slot + ARGV[2]), 'PX', 60000)
return {0, slot - now}
"""
# KEYS: the pause. ARGV: milliseconds. A pause is never shortened.
PAUSE = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
"""


class Verdict(IntEnum):
    """What became of the wish for a slot."""

    TAKEN = 0
    BUSY = 1
    CHAT_BUSY = 2
    PAUSED = 3


@dataclass(frozen=True)
class Slot:
    """An answer: TAKEN with the seconds until the slot comes, else the seconds after which to ask again."""

    verdict: Verdict
    seconds: float


def wait(chat_id: int, lane: Lane) -> None:
    """Wait for the slot of one message to a chat. Raises NotYet where it is not near."""
    ahead = (0.0, 0.0) if lane == Lane.BULK else (URGENT_AHEAD, CHAT_AHEAD)
    give_up_at = time.monotonic() + PATIENCE
    while True:
        slot = _take(chat_id, *ahead)
        if slot.verdict == Verdict.TAKEN:
            time.sleep(slot.seconds)
            return
        if slot.verdict != Verdict.BUSY or time.monotonic() >= give_up_at:
            raise NotYet(slot.seconds)
        time.sleep(slot.seconds)


def may_edit(chat_id: int) -> bool:
    """Take a slot for an edit that shows progress, if one is free now; an edit that is skipped is no loss."""
    return _take(chat_id, EDIT_AHEAD, 0.0).verdict == Verdict.TAKEN


def pause(seconds: float, chat_id: int | None = None) -> None:
    """Let nobody speak for so long after a refusal; with `chat_id`, in that chat, and a moment everywhere."""
    if chat_id is None:
        _pause("all", seconds)
        return
    _pause(f"chat:{chat_id}", seconds)
    _pause("all", seconds if _other_was_refused(chat_id, seconds) else min(seconds, MOMENT))


def paused_for() -> float:
    """Return for how many seconds nobody may speak."""
    try:
        return max(0.0, _shared().pttl(f"{PREFIX}pause:all") / 1000)
    except RedisError as error:
        _is_down(error)
        return _local.paused_for("all")


def _take(chat_id: int, ahead: float, chat_ahead: float) -> Slot:
    interval = 1.0 / settings.BOT_MESSAGES_PER_SECOND
    names = ("all", f"chat:{chat_id}")
    keys = [*(f"{PREFIX}{name}" for name in names), *(f"{PREFIX}pause:{name}" for name in names)]
    times = [interval, CHAT_INTERVAL, ahead, chat_ahead]
    try:
        verdict, wait = _shared().take(keys=keys, args=[round(seconds * 1e6) for seconds in times])
    except RedisError as error:
        _is_down(error)
        return _local.take(chat_id, *times)
    return Slot(Verdict(verdict), wait / 1e6)


def _pause(name: str, seconds: float) -> None:
    _local.pause(name, seconds)
    try:
        _shared().pause(keys=[f"{PREFIX}pause:{name}"], args=[max(1, round(seconds * 1000))])
    except RedisError as error:
        _is_down(error)


def _other_was_refused(chat_id: int, seconds: float) -> bool:
    """Remember that a chat was refused for speed; tell whether another one was shortly before."""
    try:
        refused = _shared().set(
            f"{PREFIX}refused", chat_id, px=round(max(SUSPICION, seconds) * 1000), get=True
        )
    except RedisError as error:
        _is_down(error)
        return True  # to be on the safe side
    return refused is not None and int(refused) != chat_id


class _Shared:
    """The limits in Valkey."""

    def __init__(self, url: str) -> None:
        client = redis.Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self.take = client.register_script(TAKE)
        self.pause = client.register_script(PAUSE)
        self.pttl = client.pttl
        self.set = client.set


@dataclass
class _Local:
    """The limits of this process alone: the same rules, by its own clock."""

    _slots: dict[str, float] = field(default_factory=dict)
    _pauses: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(
        self, chat_id: int, interval: float, chat_interval: float, ahead: float, chat_ahead: float
    ) -> Slot:
        """Take a slot, as TAKE does."""
        name = f"chat:{chat_id}"
        with self._lock:
            if pause := self._left(self._pauses, "all"):
                return Slot(Verdict.PAUSED, pause)
            if pause := self._left(self._pauses, name):
                return Slot(Verdict.CHAT_BUSY, pause)
            overall, chat = self._left(self._slots, "all"), self._left(self._slots, name)
            if chat > chat_ahead:
                return Slot(Verdict.CHAT_BUSY, chat)
            if overall > ahead:
                return Slot(Verdict.BUSY, overall)
            now = time.monotonic()
            slot = max(overall, chat)
            self._slots["all"] = now + overall + interval
            self._slots[name] = now + slot + chat_interval
            self._forget(now)
            return Slot(Verdict.TAKEN, slot)

    def pause(self, name: str, seconds: float) -> None:
        """Begin a pause, or make it longer."""
        with self._lock:
            until = time.monotonic() + seconds
            self._pauses[name] = max(until, self._pauses.get(name, until))

    def paused_for(self, name: str) -> float:
        """Return the seconds that a pause lasts yet."""
        with self._lock:
            return self._left(self._pauses, name)

    @staticmethod
    def _left(times: dict[str, float], name: str) -> float:
        return max(0.0, times.get(name, 0.0) - time.monotonic())

    def _forget(self, now: float) -> None:
        for times in (self._slots, self._pauses):
            if len(times) > MOST_REMEMBERED:
                for name in [name for name, until in times.items() if until < now]:
                    del times[name]


_local = _Local()
_down_until = 0.0


def _shared() -> _Shared:
    if time.monotonic() < _down_until:
        raise RedisError("did not answer a moment ago")
    return _shared_at(settings.CACHE_URL)


@cache
def _shared_at(url: str) -> _Shared:
    return _Shared(url)


def _is_down(error: RedisError) -> None:
    global _down_until
    if time.monotonic() >= _down_until:
        _down_until = time.monotonic() + DOWN_FOR
        logger.warning("Pace is kept by each process for itself: Valkey does not answer", reason=str(error))
