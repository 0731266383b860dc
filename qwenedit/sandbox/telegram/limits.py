"""Flood limits: how many messages a second the bot may send, to one chat and in all.

Owns: the counting. Off until POST /sandbox/limits sets `per_chat_per_second` or `overall_per_second`.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from qwenedit.sandbox.telegram.errors import Refusal, too_many_requests

NAMES = ("per_chat_per_second", "overall_per_second")
COUNTED = ("send", "copy", "forward", "edit")
UNCOUNTED = ("sendchataction",)


class Limits:
    """The limits of one server; None is none."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Lift every limit."""
        self.per_chat_per_second: float | None = None
        self.overall_per_second: float | None = None
        self._sent: dict[int | str | None, deque[float]] = {}

    def change(self, values: Mapping[str, Any]) -> None:
        """Set limits; null lifts one. Raises ValueError for what makes no sense."""
        for name, value in values.items():
            if name not in NAMES:
                raise ValueError(f"unknown limit {name!r}; known are {', '.join(NAMES)}")
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or value <= 0
            ):
                raise ValueError(f"{name} cannot be {value!r}")
        for name, value in values.items():
            setattr(self, name, value)
        self._sent.clear()

    def state(self) -> dict[str, Any]:
        """Return the limits."""
        return {name: getattr(self, name) for name in NAMES}

    def check(self, method: str, chat_id: int | str | None) -> Refusal | None:
        """Count a call; return its refusal if it comes too soon."""
        name = method.lower()
        if not name.startswith(COUNTED) or name in UNCOUNTED:
            return None
        now = time.monotonic()
        rates = {chat_id: self.per_chat_per_second, None: self.overall_per_second}
        waits = [self._wait(key, rate, now) for key, rate in rates.items() if rate is not None]
        if any(waits):
            return too_many_requests(max(1, math.ceil(max(waits))))
        for key, rate in rates.items():
            if rate is not None:
                self._sent.setdefault(key, deque()).append(now)
        return None

    def _wait(self, key: int | str | None, rate: float, now: float) -> float:
        """Return how long a call has to wait: within `span` seconds at most `most` may come."""
        most, span = max(1, int(rate)), max(1.0, 1 / rate)
        sent = self._sent.setdefault(key, deque())
        while sent and sent[0] <= now - span:
            sent.popleft()
        return sent[0] + span - now if len(sent) >= most else 0.0
