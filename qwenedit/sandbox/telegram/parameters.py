"""The parameters of a call, however they were sent: query, form, JSON or multipart.

Owns: reading them. As in Telegram's own server every value is a text first; objects are JSON texts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web

from qwenedit.sandbox.telegram.errors import Refusal, bad_request

MEGABYTE = 1024 * 1024
MOST_BYTES = 52 * MEGABYTE
ATTACH = "attach://"
TOO_LARGE = "Request Entity Too Large"


@dataclass(frozen=True)
class Upload:
    """A file that came with a call."""

    name: str
    mime_type: str
    data: bytes


class Parameters:
    """Texts by name, and files by name. A missing parameter reads as empty, as an empty one does."""

    def __init__(self, values: Mapping[str, Any], uploads: Mapping[str, Upload] | None = None) -> None:
        self._values = {name: _as_text(value) for name, value in values.items() if value is not None}
        self.uploads = dict(uploads or {})

    def __contains__(self, name: str) -> bool:
        return name in self._values or name in self.uploads

    def text(self, name: str) -> str:
        """Return a text; empty if it is missing."""
        return self._values.get(name, "")

    def integer(self, name: str, default: int = 0) -> int:
        """Return a whole number; `default` if it is missing, 0 if it is none."""
        value = self._values.get(name, "").strip()
        return as_integer(value) if value else default

    def flag(self, name: str) -> bool:
        """Return whether a parameter is set to true."""
        return self._values.get(name, "").strip().lower() in ("true", "yes", "1")

    def json(self, name: str, what: str) -> Any:
        """Return the JSON value of a parameter, None if it is missing; `what` names it in the refusal."""
        value = self._values.get(name, "").strip()
        if not value:
            return None
        try:
            return parse_json(value)
        except ValueError:
            raise bad_request(f"can't parse {what} JSON object") from None

    def file(self, name: str) -> Upload | str:
        """Return the file of a parameter: uploaded, or the text that names it (empty if it is missing)."""
        return self.uploads[name] if name in self.uploads else self.attached(self.text(name))

    def attached(self, value: str) -> Upload | str:
        """Return the upload that `attach://<name>` points to; other texts as they are."""
        if not value.startswith(ATTACH):
            return value
        found = self.uploads.get(value.removeprefix(ATTACH))
        if found is None:
            raise bad_request("there is no file in the request" if value == ATTACH else "wrong HTTP URL")
        return found

    def readable(self) -> dict[str, Any]:
        """Return everything for the journal: JSON texts as what they mean, files as their names and sizes."""
        files = {
            name: {"file_name": upload.name, "bytes": len(upload.data)}
            for name, upload in self.uploads.items()
        }
        return {name: _meaning(value) for name, value in self._values.items()} | files


def as_integer(value: object) -> int:
    """Return a whole number, however it is written; 0 for what is none."""
    try:
        return int(value) if isinstance(value, str | int) else 0
    except ValueError:
        return 0


def parse_json(text: str) -> Any:
    """Return what a JSON text means; raise ValueError if it is none, or contains half a character."""
    value = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        # Half a surrogate pair can be written in JSON, and then neither stored nor sent.
        json.dumps(value, ensure_ascii=False).encode()
    return value


async def read_parameters(request: web.Request) -> Parameters:
    """Return the parameters of a request; raise Refusal if its body cannot be read or is too large."""
    values: dict[str, Any] = dict(request.query)
    uploads: dict[str, Upload] = {}
    if request.can_read_body:
        if request.content_type.startswith("multipart/"):
            await _read_multipart(request, values, uploads)
        elif request.content_type == "application/json":
            values |= _object(await _body(request))
        else:
            values |= parse_qsl((await _body(request)).decode(errors="replace"), keep_blank_values=True)
    return Parameters(values, uploads)


async def _read_multipart(request: web.Request, values: dict[str, Any], uploads: dict[str, Upload]) -> None:
    left = MOST_BYTES
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            continue
        data = bytearray()
        while chunk := await part.read_chunk(MEGABYTE):
            left -= len(chunk)
            if left < 0:
                raise Refusal(413, TOO_LARGE)
            data += chunk
        if part.filename is None:
            values[part.name] = data.decode(errors="replace")
        else:
            mime_type = part.headers.get("Content-Type", "")
            uploads[part.name] = Upload(part.filename, mime_type, bytes(data))


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, TOO_LARGE) from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = parse_json(body.decode()) if body.strip() else {}
    except UnicodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    except ValueError:
        raise bad_request("can't parse request body JSON object") from None
    if not isinstance(value, dict):
        raise bad_request("can't parse request body JSON object")
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _meaning(value: str) -> Any:
    if value[:1] not in ("{", "["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
