"""Requests to one ComfyUI node: bounded in time and size, and without surprises.

It owns the connection pool and decides only what every request has in common: that a node
which does not answer is ComfyUnreachable. What an answer means is the client's business.
"""

import json
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Timeout

from jobs.comfy.address import Address
from jobs.comfy.errors import ComfyError, ComfyUnreachable, UnexpectedAnswer

CHUNK_BYTES = 64 * 1024
JSON_LIMIT_BYTES = 32 * 1024 * 1024
POOL_SIZE = 32
# So large that sending by blocks costs little; a line of 26 kB/s takes one in within LONGEST_STALL.
BLOCK_BYTES = 256 * 1024
LONGEST_BODY = 30.0  # seconds for all of an answer's body
# Seconds. Together they keep the work of a node that vanished or froze from others, for less than thirty:
LONGEST_CONNECT = 2.0  # and as much again for TLS
LONGEST_STALL = 10.0  # for the network to take in one block of a picture
LONGEST_SILENCE = 15.0  # between two bytes of an answer
FormFile = tuple[str, bytes, str]  # its name, what is in it, its Content-Type


class _Connection(HTTPConnection):
    """Applies the timeout of sending to each block that is sent, and connects within LONGEST_CONNECT.

    urllib3 has one timeout for connecting and for the sending of a whole body: what suffices for ten
    megabytes is too long to find out that a node has gone.
    """

    def connect(self) -> None:
        sending = self.timeout
        self.timeout = min(sending or math.inf, LONGEST_CONNECT)
        super().connect()
        self.timeout = sending
        self.sock.settimeout(sending)

    def send(self, data: Any) -> None:
        for start in range(0, len(data), BLOCK_BYTES):
            super().send(data[start : start + BLOCK_BYTES])


class _TLSConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `request` names what was asked, without credentials."""

    request: str
    status: int
    body: bytes

    def json(self) -> dict[str, Any] | None:
        """Return the body as a JSON object, or None when it is anything else."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def describe(self) -> str:
        """Return request, status and the beginning of the body, for the operator."""
        excerpt = self.body[:500].decode("utf-8", "replace").strip()
        return f"{self.request}: HTTP {self.status}: {excerpt or 'empty body'}"


class Transport:
    """Sends requests to the node at `address`; threads may share it (create it after forking).

    Neither proxies nor .netrc of the environment are used: users' pictures go to the named node
    and nowhere else.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._path = urlsplit(address.url).path
        self._headers = {**address.headers, "Accept-Encoding": "identity"}
        # One for all uploads: a node need not read a Content-Type anew that it has seen. Nobody can guess it.
        self._boundary = secrets.token_hex(16)
        self._pool: urllib3.HTTPConnectionPool | None = None

    def close(self) -> None:
        """Close the pooled connections; later requests open new ones."""
        closed, self._pool = self._pool, None
        if closed is not None:
            closed.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        within: float | None = None,
        max_bytes: int = JSON_LIMIT_BYTES,
        too_large: type[ComfyError] = UnexpectedAnswer,
        params: Mapping[str, str] | None = None,
        content: Mapping[str, Any] | None = None,
        form: Mapping[str, str | FormFile] | None = None,
    ) -> Answer:
        """Send one request, once, and read the whole answer.

        `within` seconds limit it in all; without it, connecting, each block that is sent, each
        silence and the reading of the body have their own limits. `content` is sent as JSON,
        `form` as a multipart body.
        Raises ComfyUnreachable, and `too_large` for an answer of more than `max_bytes`.
        """
        name = f"{method} {self._address.url}{path}"
        query = f"?{urlencode(params)}" if params else ""
        body, kind = self._body(content, form)
        began = time.monotonic()
        try:
            response = self._connections().urlopen(
                method,
                self._path + path + query,
                body,
                self._headers | ({"Content-Type": kind} if kind else {}),
                timeout=Timeout(connect=LONGEST_STALL, read=LONGEST_SILENCE, total=within),
                retries=False,
                # A redirect would turn POST into GET and carry a login page back as an answer.
                redirect=False,
                preload_content=False,
            )
            deadline = began + within if within else time.monotonic() + LONGEST_BODY
            try:
                answered = _read(
                    response, name=name, max_bytes=max_bytes, too_large=too_large, deadline=deadline
                )
            except BaseException:
                response.close()  # with an unread rest the connection is of no use
                raise
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise ComfyUnreachable(f"{name}: {type(error).__name__}: {error}") from error
        answer = Answer(name, response.status, answered)
        # ComfyUI itself never says 502 or more, nor 429: those are a proxy's words for "not now".
        if answer.status > 501 or answer.status == 429:
            raise ComfyUnreachable(answer.describe())
        return answer

    def _connections(self) -> urllib3.HTTPConnectionPool:
        """Return the pool. Raises LocationParseError for an address that can not be one."""
        if self._pool is None:
            pool = urllib3.connection_from_url(self._address.url, maxsize=POOL_SIZE)
            pool.ConnectionCls = _TLSConnection if pool.scheme == "https" else _Connection
            self._pool = pool
        return self._pool

    def _body(
        self, content: Mapping[str, Any] | None, form: Mapping[str, str | FormFile] | None
    ) -> tuple[bytes | None, str]:
        """Return what is sent, and its Content-Type."""
        if form is not None:
            return urllib3.encode_multipart_formdata(form, self._boundary)
        if content is not None:
            return json.dumps(content, separators=(",", ":")).encode(), "application/json"
        return None, ""


def _read(
    response: urllib3.BaseHTTPResponse,
    *,
    name: str,
    max_bytes: int,
    too_large: type[ComfyError],
    deadline: float,
) -> bytes:
    """Read a body with a limit of size and of total time, neither of which urllib3 has."""
    body = bytearray()
    while chunk := response.read1(CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            raise too_large(f"{name}: the answer has more than {max_bytes} bytes")
        if time.monotonic() > deadline:
            raise ComfyUnreachable(f"{name}: no end of the answer after {len(body)} bytes")
    return bytes(body)
