"""Requests to one ComfyUI node: bounded in time and size, and without surprises.

It owns the connection pool and decides only what every request has in common: that a node
which does not answer is ComfyUnreachable. What an answer means is the client's business.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Timeout

from jobs.comfy.address import Address
from jobs.comfy.errors import ComfyError, ComfyUnreachable, UnexpectedAnswer

CHUNK_BYTES = 64 * 1024
JSON_LIMIT_BYTES = 32 * 1024 * 1024
POOL_SIZE = 32


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

    `connect_timeout` and `read_timeout` are seconds. Neither proxies nor .netrc of the
    environment are used: users' pictures go to the named node and nowhere else.
    """

    def __init__(self, address: Address, *, connect_timeout: float, read_timeout: float) -> None:
        self._address = address
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(address.headers)
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=POOL_SIZE))

    def close(self) -> None:
        """Close the pooled connections; later requests open new ones."""
        self._session.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        within: float | None = None,
        is_upload: bool = False,
        max_bytes: int = JSON_LIMIT_BYTES,
        too_large: type[ComfyError] = UnexpectedAnswer,
        json: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Answer:
        """Send one request, once, and read the whole answer.

        `within` seconds limit it in all; without it, connecting, each silence and the reading of
        the body have their own limits. `options` are those of requests. Raises ComfyUnreachable,
        and `too_large` for a body of more than `max_bytes`.
        """
        name = f"{method} {self._address.url}{path}"
        deadline = time.monotonic() + (within or self._connect_timeout + self._read_timeout)
        try:
            with self._session.request(
                method,
                self._address.url + path,
                json=json,
                timeout=self._timeout(within, is_upload=is_upload),  # type: ignore[arg-type]  # missing in the stub
                # A redirect would turn POST into GET and carry a login page back as an answer.
                allow_redirects=False,
                stream=True,
                **options,
            ) as response:
                body = bytearray()
                # requests' own reading has neither a total time limit nor one of size.
                while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                    body += chunk
                    if len(body) > max_bytes:
                        raise too_large(f"{name}: the answer has more than {max_bytes} bytes")
                    if time.monotonic() > deadline:
                        raise ComfyUnreachable(f"{name}: no end of the answer after {len(body)} bytes")
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ComfyUnreachable(f"{name}: {type(error).__name__}: {error}") from error
        answer = Answer(name, response.status_code, bytes(body))
        # ComfyUI itself never says 502 or more, nor 429: those are a proxy's words for "not now".
        if answer.status > 501 or answer.status == 429:
            raise ComfyUnreachable(answer.describe())
        return answer

    def _timeout(self, within: float | None, *, is_upload: bool) -> Timeout:
        if within is not None:
            return Timeout(total=within)
        # urllib3 applies the connect timeout to the sending of a whole body as well, and two
        # seconds for ten megabytes are too short.
        connect = self._read_timeout if is_upload else self._connect_timeout
        return Timeout(connect=connect, read=self._read_timeout)
