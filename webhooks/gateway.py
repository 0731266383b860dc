"""Sending over HTTP, to the very IP address that was checked. The one place that talks to receivers.

The name is resolved here, every address it has is checked, and one of them is connected to: no second
answer of a name server comes in between. Host, SNI and the certificate's name stay those of the URL.
No redirect is followed and no proxy of the environment used.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.util import Timeout

from webhooks.addresses import IP, Address, check_ip, parse_ip

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0
BODY_SILENCE = 2.0  # seconds; the status has been read by then, and the body is but an excerpt for the log
MOST_BODY_BYTES = 4096
MOST_ADDRESSES = 3  # of a name, that are tried where one does not answer
LOOKUP_SECONDS = 2.0
LONGEST_ERROR = 200


class NoAnswer(Exception):
    """No answer came; the text says why, in words for the receiver's owner."""


@dataclass(frozen=True)
class Answer:
    """What a receiver answered: `body` is the beginning of it, `retry_after` the header as it came."""

    status: int
    body: str
    retry_after: str


def lookup(host: str, port: int) -> list[IP]:
    """Return the addresses of a host, as the system's resolver has them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = (parse_ip(str(sockaddr[0]).partition("%")[0]) for *_rest, sockaddr in found)
    return list(dict.fromkeys(address for address in addresses if address is not None))


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise AddressRefused where nothing would be sent to a URL.

    A name that can not be resolved, or not soon, passes: names are checked again at every sending.
    """
    address = Address.parse(url, allow_private=allow_private)
    if allow_private or parse_ip(address.host) is not None:
        return
    for ip in _lookup_soon(address):
        check_ip(ip, allow_private=allow_private)


def post(
    url: str,
    payload: bytes,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    total_seconds: float = TOTAL_SECONDS,
) -> Answer:
    """POST a payload once, within `total_seconds` or a little more. Raises AddressRefused and NoAnswer."""
    address = Address.parse(url, allow_private=allow_private)
    give_up_at = time.monotonic() + total_seconds
    trouble: Exception | None = None
    for ip in _resolve(address, allow_private=allow_private)[:MOST_ADDRESSES]:
        left = give_up_at - time.monotonic()
        if left <= 0:
            break
        timeout = Timeout(connect=min(CONNECT_SECONDS, left), total=left)
        try:
            return _post_to(ip, address, payload, headers, timeout=timeout, give_up_at=give_up_at)
        except (ConnectTimeoutError, NewConnectionError) as error:
            trouble = error  # nothing was sent: another address of the name may answer
        except (HTTPError, OSError, ValueError) as error:
            raise NoAnswer(_told(error)) from error
    raise NoAnswer(_told(trouble)) from trouble


def _resolve(address: Address, *, allow_private: bool) -> list[IP]:
    literal = parse_ip(address.host)
    try:
        found = [literal] if literal is not None else lookup(address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise NoAnswer("The name can not be resolved.") from error
    if not found:
        raise NoAnswer("The name has no address.")
    # One bad address condemns the name: whoever mixes them is trying something.
    for ip in found:
        check_ip(ip, allow_private=allow_private)
    return found


def _lookup_soon(address: Address) -> list[IP]:
    """Resolve a name in a thread that nobody waits for long: somebody's request hangs on it."""
    answers: SimpleQueue[list[IP]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(lookup(address.host, address.port))
        except (OSError, UnicodeError):
            answers.put([])

    threading.Thread(target=ask, name="webhook lookup", daemon=True).start()
    try:
        return answers.get(timeout=LOOKUP_SECONDS)
    except Empty:
        return []


def _post_to(
    ip: IP,
    address: Address,
    payload: bytes,
    headers: Mapping[str, str],
    *,
    timeout: Timeout,
    give_up_at: float,
) -> Answer:
    is_name = parse_ip(address.host) is None
    # Pools are told apart by these: what was verified for one name serves no other at the same address.
    name = address.host.rstrip(".")
    verified = {"server_hostname": name, "assert_hostname": name} if is_name else {}
    pool = _pools.connection_from_host(
        str(ip), address.port, address.scheme, pool_kwargs=verified if address.scheme == "https" else None
    )
    response = pool.urlopen(
        "POST",
        address.path,
        body=payload,
        headers={"Host": address.host_header, "Accept-Encoding": "identity", **headers},
        timeout=timeout,
        retries=False,
        redirect=False,
        preload_content=False,
        assert_same_host=False,
    )
    body, is_whole = _beginning(response, give_up_at)
    if is_whole:
        response.release_conn()
    else:
        response.close()
    excerpt = body.decode("utf-8", "replace").replace("\x00", "\ufffd").strip()
    return Answer(response.status, excerpt, response.headers.get("Retry-After", ""))


def _beginning(response: urllib3.BaseHTTPResponse, give_up_at: float) -> tuple[bytes, bool]:
    """Return the beginning of the body, and whether that was all of it. A broken body breaks nothing."""
    body = b""
    try:
        while len(body) < MOST_BODY_BYTES and time.monotonic() < give_up_at:
            chunk = response.read1(MOST_BODY_BYTES, decode_content=False)
            if not chunk:
                return body, True
            body += chunk
    except (HTTPError, OSError, ValueError):
        pass
    return body, False


class _HeadInTime(HTTPConnection):
    """Waits for the head of an answer in all, not for each of its bytes: it may come one a second."""

    def getresponse(self) -> Any:
        """Return the answer. Raises TimeoutError."""
        connected: socket.socket = self.sock
        is_late = threading.Event()

        def hang_up() -> None:
            is_late.set()
            with suppress(OSError):  # it ended in this moment
                # Of the bare socket: TLS has state that belongs to the thread that reads.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

        timer = threading.Timer(self.timeout or TOTAL_SECONDS, hang_up)
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
            connected.settimeout(BODY_SILENCE)
        except BaseException:
            timer.cancel()
            # The half-read answer holds the socket open, and the exception holds the answer.
            descriptor = connected.detach()
            if descriptor >= 0:
                os.close(descriptor)
            if is_late.is_set():
                raise TimeoutError from None
            raise
        timer.cancel()
        if is_late.is_set():  # what was cut off may look complete
            response.close()
            raise TimeoutError
        return response


class _TLSHeadInTime(_HeadInTime, HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HeadInTime


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSHeadInTime


def new_pools(ca_certs: str = DEFAULT_CA_BUNDLE_PATH) -> urllib3.PoolManager:
    """Return pools of connections that are kept alive; `ca_certs` is a file of those who vouch for names."""
    pools = urllib3.PoolManager(num_pools=64, maxsize=8, ca_certs=ca_certs)
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    return pools


_pools = new_pools()


def _told(error: Exception | None) -> str:
    match error:
        case None | urllib3.exceptions.TimeoutError() if not isinstance(error, NewConnectionError):
            return "No answer in time."
        case NewConnectionError():
            return "The connection was refused, or the host can not be reached."
        case urllib3.exceptions.SSLError():
            return f"TLS: {error}"[:LONGEST_ERROR]
    return "The connection broke before there was an answer."
