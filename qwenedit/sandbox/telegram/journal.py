"""Every call of the bot as it came and as it was answered."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LENGTH = 20_000


@dataclass
class Entry:
    """One call. `status` is None while it runs, or if it was never answered."""

    n: int
    at: float
    method: str
    parameters: dict[str, Any]
    chat_id: int | str | None
    status: int | None = None
    ok: bool | None = None
    description: str | None = None
    seconds: float | None = None
    began: float = field(default_factory=time.monotonic)

    def view(self) -> dict[str, Any]:
        """Return it for GET /sandbox/calls."""
        view = {name: value for name, value in vars(self).items() if name != "began"}
        return view if self.description else {name: view[name] for name in view if name != "description"}


class Journal:
    """The last calls, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=LENGTH)
        self._number = 0

    def add(self, method: str, parameters: dict[str, Any], chat_id: int | str | None) -> Entry:
        """Write down a call that has just come."""
        self._number += 1
        entry = Entry(self._number, round(time.time(), 3), method, parameters, chat_id)
        self._entries.append(entry)
        return entry

    def finish(self, entry: Entry, status: int | None, body: dict[str, Any]) -> None:
        """Write down how a call was answered."""
        entry.seconds = round(time.monotonic() - entry.began, 4)
        entry.status = status
        entry.ok = bool(body.get("ok"))
        entry.description = body.get("description")

    def select(self, *, method: str = "", since: int = 0, chat_id: str = "") -> Iterator[dict[str, Any]]:
        """Yield the calls after number `since`, of one method and one chat if told."""
        for entry in self._entries:
            if entry.n <= since or (method and entry.method.lower() != method.lower()):
                continue
            if chat_id and str(entry.chat_id) != chat_id:
                continue
            yield entry.view()

    def clear(self) -> None:
        """Forget every call."""
        self._entries.clear()
        self._number = 0
