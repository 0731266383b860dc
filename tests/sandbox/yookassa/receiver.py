"""A real HTTP server that notifications are sent to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One request. `body` is None if it is not JSON."""

    raw: bytes
    headers: dict[str, str]
    body: Any


@dataclass
class Receiver:
    """What came, and what is answered: the statuses of `answers` one by one, then 200."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def events(self) -> list[tuple[str, str]]:
        """Return event and status of everything that came."""
        return [(item.body["event"], item.body["object"]["status"]) for item in self.received]


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    """Run a receiver for the length of a `with` block."""
    receiver = Receiver("")
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                receiver.received.append(Received(raw, dict(self.headers), _json(raw)))
                status = receiver.answers.pop(0) if receiver.answers else 200
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks/yookassa/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
