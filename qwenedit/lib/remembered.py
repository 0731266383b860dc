"""Facts that cost a query and change slowly: asked for once, then known for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

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
