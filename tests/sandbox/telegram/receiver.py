"""A real HTTP server that a webhook points to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One update, with its headers, and when its handling began and ended."""

    body: dict[str, Any]
    headers: dict[str, str]
    began: float
    ended: float = 0.0


@dataclass
class Receiver:
    """What came, and what is answered: `answers` one by one (status, JSON body), then 200 with nothing."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def ids(self) -> list[int]:
        """Return the numbers of the updates that came."""
        return [item.body["update_id"] for item in self.received]


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    """Run a receiver for the length of a `with` block."""
    receiver = Receiver("")
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                item = Received(json.loads(raw), dict(self.headers), time.monotonic())
                receiver.received.append(item)
                status, body = receiver.answers.pop(0) if receiver.answers else (200, None)
            time.sleep(receiver.seconds)
            item.ended = time.monotonic()
            answer = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/telegram/webhook/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
