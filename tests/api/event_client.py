"""A client of server-sent events, as the standard describes it. Must not know what the events say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT = 60.0  # seconds of silence; the server breaks every silence after fifteen


@dataclass(frozen=True)
class Event:
    """One event."""

    id: int
    name: str
    data: dict[str, Any]


class EventStream:
    """An open stream. `comments` counts the lines that are none of the events'."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.comments = 0
        self.retry = 0
        self._lines = response.iter_lines(chunk_size=None)

    def __iter__(self) -> Iterator[Event]:
        """Return the events until the stream's end."""
        fields: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.decode().partition(": ")
            if not line and "data" in fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            if not line:
                fields = {}
            elif not name:
                self.comments += 1
            elif name == "retry":
                self.retry = int(value)
            else:
                fields[name] = value

    def until(self, **wanted: Any) -> Event:
        """Return the next event whose data has these values; fails where the stream ends without one."""
        for event in self:
            if wanted.items() <= {name: event.data[name] for name in wanted}.items():
                return event
        raise AssertionError(f"the stream ended without {wanted}")


@contextmanager
def listening(site: str, job_id: int, key: str, **headers: str) -> Iterator[EventStream]:
    """Follow a job for the length of a `with` block; headers by their names with `_` for `-`."""
    sent = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    address = f"{site}/api/v1/jobs/{job_id}/events/"
    with requests.get(address, headers=sent, stream=True, timeout=TIMEOUT) as response:
        assert response.status_code == 200, response.text
        yield EventStream(response)
