"""What can be made to go wrong with the bot's calls, and which call it hits.

Owns: the plan. Its effects are in `dispatch`. An entry is the JSON body of POST /sandbox/faults:

    method       of the Bot API, or "download" for the fetching of files (default "*": any but getUpdates)
    chat_id      only calls for this chat (default: all)
    code         429, 400, 403, 500, 502 or another HTTP status; 0 (the default) lets the call succeed
    description  the text of the error (default: the usual one of the code)
    retry_after  seconds, for 429 (default 1)
    times        how many calls it hits (default 1; null: all, until the plan is cleared)
    delay        seconds before the answer (default 0)
    processed    true: the call is carried out all the same, and only its answer is replaced (default false)
    drop         true: the connection closes without an answer (default false)

The first entry that matches a call hits it. {"clear": true} removes every entry. 502 answers a page of
HTML, as a proxy before Telegram does. The answer of the route is the plan.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

DESCRIPTIONS = {
    400: "Bad Request: sandbox fault",
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    404: "Not Found",
    409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
    500: "Internal Server Error",
}
DOWNLOAD = "download"
NOT_ANY = ("getUpdates", DOWNLOAD)
TOO_MANY_REQUESTS = 429
FIELDS: dict[str, tuple[type, ...]] = {
    "method": (str,),
    "chat_id": (int, type(None)),
    "code": (int,),
    "description": (str,),
    "retry_after": (int,),
    "times": (int, type(None)),
    "delay": (int, float),
    "processed": (bool,),
    "drop": (bool,),
}


@dataclass
class Fault:
    """An entry of the plan, as described above."""

    method: str = "*"
    chat_id: int | None = None
    code: int = 0
    description: str = ""
    retry_after: int = 1
    times: int | None = 1
    delay: float = 0.0
    processed: bool = False
    drop: bool = False

    @property
    def replaces(self) -> bool:
        """Whether the call's own answer never reaches the bot."""
        return self.drop or self.code != 0

    @property
    def text(self) -> str:
        """The text of the error."""
        if self.description:
            return self.description
        if self.code == TOO_MANY_REQUESTS:
            return f"Too Many Requests: retry after {self.retry_after}"
        return DESCRIPTIONS.get(self.code, "Internal Server Error")

    def matches(self, method: str, chat_id: int | str | None) -> bool:
        """Whether it is meant for such a call."""
        if self.chat_id is not None and str(self.chat_id) != str(chat_id):
            return False
        if self.method == "*":
            return method not in NOT_ANY
        return self.method.lower() == method.lower()


class Faults:
    """The plan of one server."""

    def __init__(self) -> None:
        self._plan: list[Fault] = []

    def add(self, values: Mapping[str, Any]) -> None:
        """Append an entry; raise ValueError for an unknown field or a value of the wrong type."""
        for name, value in values.items():
            if name not in FIELDS:
                raise ValueError(f"unknown field {name!r} of a fault; known are {', '.join(FIELDS)}")
            is_wrong_bool = isinstance(value, bool) and bool not in FIELDS[name]
            if is_wrong_bool or not isinstance(value, FIELDS[name]):
                raise ValueError(f"{name} of a fault cannot be {value!r}")
        fault = Fault(**values)
        if not fault.replaces and not fault.delay:
            raise ValueError("a fault needs a code, a delay or drop")
        self._plan.append(fault)

    def clear(self) -> None:
        """Let everything go right again."""
        self._plan.clear()

    def take(self, method: str, chat_id: int | str | None) -> Fault | None:
        """Return the fault that hits this call, used up by one, or None."""
        for fault in self._plan:
            if not fault.matches(method, chat_id):
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._plan.remove(fault)
            return fault
        return None

    def state(self) -> list[dict[str, Any]]:
        """Return the plan, JSON types only."""
        return [asdict(fault) for fault in self._plan]
