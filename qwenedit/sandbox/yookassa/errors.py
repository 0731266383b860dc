"""The answers that say no, in YooKassa's shape and words.

Owns: error bodies. Must not know when an error is due.
The texts are those that shops reported from the real service; nobody should match on them.
"""

import uuid
from typing import Any

CODES = {
    400: "invalid_request",
    401: "invalid_credentials",
    403: "forbidden",
    404: "not_found",
    429: "too_many_requests",
    500: "internal_server_error",
}
MALFORMED = (
    "Invalid parameter's value (for example, the value is illegal or its format is incorrect). "
    "Send the value in accordance with the documentation."
)


class Refusal(Exception):
    """A request that is not carried out. `status` is a key of CODES."""

    def __init__(self, status: int, description: str, parameter: str = "") -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameter = parameter

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer."""
        return error_body(self.status, self.description, self.parameter)


def invalid(parameter: str, description: str = MALFORMED) -> Refusal:
    """Return the refusal of a request whose `parameter` is wrong."""
    return Refusal(400, description, parameter)


def not_found(parameter: str, name: str) -> Refusal:
    """Return the refusal of a request for an object that is not this shop's."""
    return Refusal(404, f"{name} doesn't exist or access denied", parameter)


def error_body(status: int, description: str, parameter: str = "") -> dict[str, Any]:
    """Return the JSON body of an error with this HTTP status."""
    body = {"type": "error", "id": str(uuid.uuid4()), "code": CODES[status], "description": description}
    return body | ({"parameter": parameter} if parameter else {})
