"""A real HTTP server of an integrator's, and a reading of the specification that is not ours."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

TOLERANCE = 300  # seconds, as receivers have it


@dataclass(frozen=True)
class Received:
    """One request, with the names of headers in lower case; `at` is in seconds since 1970."""

    path: str
    raw: bytes
    headers: dict[str, str]
    at: float = field(default_factory=time.time)

    @property
    def id(self) -> str:
        """The header `webhook-id`."""
        return self.headers["webhook-id"]

    @property
    def body(self) -> Any:
        """The payload."""
        return json.loads(self.raw)


Answer = Callable[[BaseHTTPRequestHandler], object]


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Return an answer; names of headers with `_` for `-`."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return send


FAILURE = answer(500, Retry_After="3600")  # tried again in an hour, however slow the machine is


@dataclass
class Receiver:
    """What came, and what is answered: `answers` one by one, then 204. `at_once` is the most in flight."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    in_flight: int = 0
    at_once: int = 0

    @property
    def types(self) -> list[str]:
        """The types of the events that came."""
        return [request.body["type"] for request in self.received]


@contextmanager
def run_receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver for the length of a `with` block."""
    receiver = Receiver()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        is_waiting = False

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                receiver.received.append(Received(self.path, raw, headers))
                receiver.connections.add(cast("tuple[str, int]", self.client_address))
                send = receiver.answers.pop(0) if receiver.answers else answer(204)
                receiver.in_flight += 1
                self.is_waiting = True
                receiver.at_once = max(receiver.at_once, receiver.in_flight)
            try:
                send(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                self.begin_answer()

        def begin_answer(self) -> None:
            """Count the request as answered, before whoever waits for it can know."""
            with lock:
                receiver.in_flight -= self.is_waiting
                self.is_waiting = False

        def send_response(self, code: int, message: str | None = None) -> None:
            self.begin_answer()
            super().send_response(code, message)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who hangs up is no news
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def verified(request: Received, secret: str) -> bool:
    """Tell whether a request is signed with a secret, as a receiver finds out by the specification."""
    assert abs(time.time() - int(request.headers["webhook-timestamp"])) < TOLERANCE
    key = base64.b64decode(secret[len("whsec_") :])
    assert 24 <= len(key) <= 64
    content = f"{request.id}.{request.headers['webhook-timestamp']}.".encode() + request.raw
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    versions = [signature.split(",", 1) for signature in request.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(given, expected) for version, given in versions)
