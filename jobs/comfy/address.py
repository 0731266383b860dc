"""The address of a ComfyUI node: where to send requests, and the credentials kept out of sight.

It must not open connections. Everything that names a node in a log, an exception or a repr
uses `Address.url`, which has no credentials.
"""

import base64
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Address:
    """A node's base URL without credentials or trailing slash, and its Authorization header."""

    url: str
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read `http(s)://[user[:password]@]host[:port][/prefix]`.

        User and password are percent-decoded and sent as HTTP basic authentication in UTF-8
        (RFC 7617). Raises ValueError, whose text does not repeat the URL: it may hold a password.
        """
        try:
            parts = urlsplit(url.strip())
            host, port = parts.hostname, parts.port
        except ValueError:
            # The parser's own message quotes what it could not read.
            raise ValueError("not a valid ComfyUI address") from None
        if parts.scheme not in {"http", "https"} or not host:
            raise ValueError("a ComfyUI address starts with http:// or https:// and names a host")
        if parts.query or parts.fragment:
            raise ValueError("a ComfyUI address has no ? and no #")
        host = f"[{host}]" if ":" in host else host
        netloc = host if port is None else f"{host}:{port}"
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
        return cls(urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", "")), authorization)

    @property
    def websocket_url(self) -> str:
        """The same base with ws:// or wss://."""
        return "ws" + self.url.removeprefix("http")

    @property
    def headers(self) -> dict[str, str]:
        """The credentials as request headers; empty when there are none."""
        return {"Authorization": self.authorization} if self.authorization else {}
