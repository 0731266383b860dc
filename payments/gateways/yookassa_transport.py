"""Requests to the YooKassa API by its official SDK's client, with the SDK's traps closed.

It owns credentials, connections, time limits and the bytes that are sent, and is the one module that imports
the SDK. It knows nothing of payments: what an answer means is the gateway's business.

`yookassa` 3.13.0 as it comes has no socket timeout, repeats POSTs by itself, turns every transport failure
into an AttributeError, rewrites the body (amounts through float, metadata of its own, unknown fields
dropped), logs the Authorization header, and keeps its credentials in class-wide globals.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from yookassa.client import ApiClient
from yookassa.domain.common import UserAgent

from payments.gateways.base import GatewayUnavailable

ANSWER_LIMIT_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
POOL_SIZE = 32
EXCERPT_CHARACTERS = 500


def canonical_json(body: Mapping[str, Any]) -> bytes:
    """Return the one spelling of `body`: a database may hand its keys back in another order."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `request` names what was asked, without credentials."""

    request: str
    status: int
    body: bytes

    def json(self) -> dict[str, Any] | None:
        """Return the body as a JSON object that a database can store, or None when it is anything else."""
        try:
            text = self.body.decode()
            value = json.loads(text, parse_constant=_refuse)
            if "\\u" in text and "\\u0000" in json.dumps(value, ensure_ascii=False).encode().decode():
                return None
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def describe(self) -> str:
        """Return request, status and the beginning of the body, for the operator."""
        excerpt = self.body.decode("utf-8", "replace").replace("\x00", "")[:EXCERPT_CHARACTERS].strip()
        return f"{self.request}: HTTP {self.status}: {excerpt or 'empty body'}"


class ShopClient(ApiClient):
    """The SDK's client for one shop; threads may share it, processes may not (create it after forking).

    `connect_timeout` and `read_timeout` are seconds: the latter limits each silence of the server, their sum
    the whole exchange once the headers have come. Neither proxies, nor .netrc, nor certificates of the
    environment are used: the secret key goes to the named host and nowhere else.
    Raises ValueError, whose text repeats neither the key nor the address.
    """

    def __init__(
        self, *, api_url: str, shop_id: str, secret_key: str, connect_timeout: float, read_timeout: float
    ) -> None:
        # Without the SDK's own __init__, which takes everything from class-wide globals: two shops in one
        # process would sign for each other.
        if not shop_id or not secret_key:
            raise ValueError("a shop of YooKassa has an id and a secret key")
        self.endpoint = _base_url(api_url)
        self.shop_id = shop_id
        self.shop_password = secret_key
        self.auth_token = None
        self.user_agent = UserAgent()
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._session = self._new_session()

    def __repr__(self) -> str:
        return f"<ShopClient {self.endpoint}>"

    def close(self) -> None:
        """Close the pooled connections; later requests open new ones."""
        self._session.close()

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Answer:
        """Ask. Raises GatewayUnavailable."""
        return self.execute(None, "GET", path, parameters, {})

    def post(self, path: str, body: Mapping[str, Any], *, key: str) -> Answer:
        """Send `body` in its canonical spelling, under the idempotence key. Raises GatewayUnavailable."""
        return self.execute(body, "POST", path, None, {"Idempotence-Key": key})

    def get_session(self) -> requests.Session:
        """Return the session that keeps its connections; the SDK makes one for every request."""
        return self._session

    def execute(
        self,
        body: Mapping[str, Any] | None,
        method: str,
        path: str,
        query_params: Mapping[str, str] | None,
        request_headers: Mapping[str, str],
    ) -> Answer:
        """Send one request, once, and read the whole answer whatever its status.

        Nothing is logged. Raises GatewayUnavailable when no whole answer came.
        """
        name = f"{method} {self.endpoint}{path}"
        deadline = time.monotonic() + self._connect_timeout + self._read_timeout
        received = bytearray()
        try:
            with self.get_session().request(
                method,
                self.endpoint + path,
                params=query_params,
                headers=request_headers,
                data=None if body is None else canonical_json(body),
                timeout=(self._connect_timeout, self._read_timeout),
                # A redirect would turn POST into GET and carry another page back as an answer.
                allow_redirects=False,
                stream=True,
            ) as response:
                # requests' own reading has neither a total time limit nor one of size.
                while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                    received += chunk
                    if len(received) > ANSWER_LIMIT_BYTES or time.monotonic() > deadline:
                        break
                else:
                    return Answer(name, response.status_code, bytes(received))
                failure = f"no end of the answer after {len(received)} bytes"
        except (OSError, urllib3.exceptions.HTTPError) as error:  # requests' exceptions are OSErrors
            failure = f"{type(error).__name__}: {error}"
        # Outside the handler: the frames of requests, which hold the credentials, stay out of the trace.
        raise GatewayUnavailable(detail=f"{name}: {failure}")

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        # Credentials stay in the session, and out of the local variables that a trace may show.
        session.headers.update(self.prepare_request_headers({}))
        session.headers["Accept-Encoding"] = "identity"
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            # Repeating is the caller's decision: the SDK would send a POST three times.
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=POOL_SIZE, max_retries=0))
        return session


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a valid address of the YooKassa API") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("the address of the YooKassa API starts with http:// or https:// and names a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the address of the YooKassa API has no credentials, no ? and no #")
    return url.strip().rstrip("/")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
