"""Facts that cost a query and change slowly: asked for once, then known for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")


class Remembered(Generic[T]):
    """What `ask` returned in this process less than `seconds` ago, for all threads; then it asks anew."""

    def __init__(self, ask: Callable[[], T], *, seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._known: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Return it."""
        known = self._known
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        answer = self._ask()
        self._known = time.monotonic() + self._seconds, answer
        return answer

    def forget(self) -> None:
        """Ask again the next time."""
        self._known = None


class RememberedEach(Generic[K, T]):
    """What this process was told of each key less than `seconds` ago, for all threads; of `most` keys."""

    def __init__(self, *, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._known: dict[K, tuple[float, T]] = {}

    def get(self, key: K) -> T | None:
        """Return it, or None where it is not known, or no longer."""
        until, answer = self._known.get(key, (0.0, None))
        return answer if time.monotonic() < until else None

    def put(self, key: K, answer: T) -> None:
        """Remember it."""
        if len(self._known) >= self._most:
            self.forget()  # what is needed is soon known again
        self._known[key] = time.monotonic() + self._seconds, answer

    def forget(self) -> None:
        """Forget it all."""
        self._known.clear()
