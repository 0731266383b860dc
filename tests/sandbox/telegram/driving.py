"""A bot by plain HTTP, and pictures to send."""

import base64
import io
import json
from typing import Any

import requests
from PIL import Image

from tests.servers import TelegramServer

Files = dict[str, tuple[str, bytes]]


class PlainBot:
    """Calls methods of the Bot API; `ok` returns results, `refused` the words of a refusal."""

    def __init__(self, server: TelegramServer) -> None:
        self.server = server
        self.url = server.api_url + server.token
        self._offset = 0

    def call(self, method: str, files: Files | None = None, **given: Any) -> requests.Response:
        """Call a method with JSON, with multipart if there are files."""
        url = f"{self.url}/{method}"
        if files is None:
            return requests.post(url, json=given, timeout=30)
        fields = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()
        }
        return requests.post(url, data=fields, files=files, timeout=30)

    def ok(self, method: str, files: Files | None = None, **given: Any) -> Any:
        """Return the result of a call that must succeed."""
        body = self.call(method, files, **given).json()
        assert body["ok"], body
        return body["result"]

    def refused(self, method: str, files: Files | None = None, code: int = 400, **given: Any) -> str:
        """Return the description of a call that must fail with a code."""
        answer = self.call(method, files, **given)
        body = answer.json()
        assert (answer.status_code, body["ok"], body["error_code"]) == (code, False, code), body
        description: str = body["description"]
        return description

    def send(self, chat_id: int, text: str, **given: Any) -> dict[str, Any]:
        """Send a text."""
        message: dict[str, Any] = self.ok("sendMessage", chat_id=chat_id, text=text, **given)
        return message

    def send_photo(self, chat_id: int, data: bytes, **given: Any) -> dict[str, Any]:
        """Upload a photo."""
        files = {"photo": ("photo.jpg", data)}
        message: dict[str, Any] = self.ok("sendPhoto", files, chat_id=chat_id, **given)
        return message

    def updates(self, timeout: int = 0, **given: Any) -> list[dict[str, Any]]:
        """Return new updates and confirm the former ones."""
        found: list[dict[str, Any]] = self.ok("getUpdates", offset=self._offset, timeout=timeout, **given)
        if found:
            self._offset = found[-1]["update_id"] + 1
        return found

    def download(self, file_id: str) -> bytes:
        """Fetch a file as bots do."""
        path = self.ok("getFile", file_id=file_id)["file_path"]
        answer = requests.get(f"{self.server.file_url}{self.server.token}/{path}", timeout=30)
        answer.raise_for_status()
        return answer.content


def picture(width: int = 640, height: int = 480, kind: str = "JPEG", colour: str = "teal") -> bytes:
    """Return a picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, kind)
    return buffer.getvalue()


def as_text(data: bytes) -> str:
    """Return bytes as the sandbox takes them."""
    return base64.b64encode(data).decode()


def keyboard(*labels: str) -> dict[str, Any]:
    """Return an inline keyboard of one row; the data of a button is its label."""
    return {"inline_keyboard": [[{"text": label, "callback_data": label} for label in labels]]}
