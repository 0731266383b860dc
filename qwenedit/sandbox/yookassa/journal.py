"""Every API request as it came and as it was answered: what tests ask "did exactly one refund arrive?"."""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

LENGTH = 50_000
FILTERS = ("method", "path", "key", "status", "fault")


@dataclass
class Entry:
    """One request. `status` is None if no answer was sent; `replayed` if it was a kept one."""

    number: int
    at: str | None
    method: str
    path: str
    query: dict[str, str]
    key: str | None
    body: Any
    fault: str | None = None
    processed: bool = False
    replayed: bool = False
    status: int | None = None


class Journal:
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=LENGTH)
        self._number = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self,
        *,
        at: str | None,
        method: str,
        path: str,
        query: Mapping[str, str],
        key: str | None,
        body: bytes,
    ) -> Entry:
        """Write down a request that has just come."""
        self._number += 1
        entry = Entry(self._number, at, method, path, dict(query), key, _readable(body))
        self._entries.append(entry)
        return entry

    def select(self, wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the entries whose fields, as text, are those wanted; only FILTERS count."""
        tests = {name: value for name, value in wanted.items() if name in FILTERS}
        for entry in self._entries:
            if all(str(getattr(entry, name)) == value for name, value in tests.items()):
                yield asdict(entry)

    def clear(self) -> None:
        """Forget every entry."""
        self._entries.clear()


def _readable(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")
