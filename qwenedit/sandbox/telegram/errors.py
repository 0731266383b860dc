"""The answers that say no, in Telegram's shape and words.

Owns: the envelope of an error. Must not know when an error is due.
"""

from typing import Any

PREFIXES = {
    400: "Bad Request: ",
    403: "Forbidden: ",
    409: "Conflict: ",
}


class Refusal(Exception):
    """A call that is not carried out. `description` comes with Telegram's prefix of the code."""

    def __init__(self, code: int, description: str, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        return error_body(self.code, self.description, self.retry_after)


def bad_request(text: str) -> Refusal:
    """Return the refusal of a call that makes no sense."""
    return Refusal(400, PREFIXES[400] + text)


def forbidden(text: str) -> Refusal:
    """Return the refusal of a call the bot has no right to."""
    return Refusal(403, PREFIXES[403] + text)


def conflict(text: str) -> Refusal:
    """Return the refusal of a call that another one stands in the way of."""
    return Refusal(409, PREFIXES[409] + text)


def too_many_requests(retry_after: int) -> Refusal:
    """Return the refusal of a call that comes too soon."""
    return Refusal(429, f"Too Many Requests: retry after {retry_after}", retry_after)


def error_body(code: int, description: str, retry_after: int | None = None) -> dict[str, Any]:
    """Return the envelope of an error."""
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    if retry_after is not None:
        body["parameters"] = {"retry_after": retry_after}
    return body
