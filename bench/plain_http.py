"""The least that a client of HTTP has to do, so that its own work is not taken for anybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection
from urllib.parse import urlsplit

BOUNDARY = "bench-8d1f"


class PlainHttp:
    """A connection to the server at `url` that stays open; sends `headers` with each request."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = dict(headers or {})

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        """Return the body of the answer. Raises RuntimeError for a status that is no success."""
        headers = self._headers | ({"Content-Type": kind} if kind else {})
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def form(photo: bytes, *, name: str = "photo.jpg", **fields: str) -> tuple[bytes, str]:
    """Return a form with a JPEG under `image`, and its content type."""
    parts = [
        f'Content-Disposition: form-data; name="{field}"\r\n\r\n{value}'.encode()
        for field, value in fields.items()
    ]
    image = f'Content-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: image/jpeg'
    parts.append(f"{image}\r\n\r\n".encode() + photo)
    boundary = f"--{BOUNDARY}"
    body = b"".join(f"{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return body + f"{boundary}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"
