"""What can be made to go wrong with API requests, and which request it hits.

Owns: the plan. Its effects are in `middleware` and `routes`. An entry of the plan is a JSON object:

    fault      one of the names below
    count      how many requests it hits (default 1; null: all, until the plan is cleared)
    skip       how many matching requests pass before (default 0)
    chance     probability that a matching request is hit (default 1)
    method     GET or POST (default: both)
    path       pattern as of the shell, as "/v3/refunds*" (default "*")
    processed  true: the request is carried out all the same, and only its answer is replaced (default false)
    seconds    for hang and hidden (default 30)

The first entry that matches a request hits it. Names:

    drop               the connection closes without an answer (with processed: a lost response)
    error              500 with YooKassa's body
    bad_gateway        502 with a page of HTML
    unavailable        503 with nothing
    not_json           200 with a page of HTML
    processing         202, the old "not processed yet"
    too_many_requests  429
    unauthorized       401
    forbidden          403
    hang               so many seconds pass before the request is carried out (with processed: after it), then
                       it is answered as if nothing had been
    hidden             what the request makes is answered with 404 and missing in lists for so many seconds
    webhook_first      a payment is paid, and its notification delivered, before its creation is answered
"""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

ANSWERED = (
    "error", "bad_gateway", "unavailable", "not_json", "processing", "too_many_requests", "unauthorized",
    "forbidden",
)  # fmt: skip
NAMES = ("drop", *ANSWERED, "hang", "hidden", "webhook_first")


@dataclass
class Fault:
    """An entry of the plan, as described above. Raises ValueError for values that make no sense."""

    fault: str
    count: int | None = 1
    skip: int = 0
    chance: float = 1.0
    method: str = "*"
    path: str = "*"
    processed: bool = False
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.fault not in NAMES:
            raise ValueError(f"unknown fault {self.fault!r}; known are {', '.join(NAMES)}")

    def matches(self, method: str, path: str) -> bool:
        """Whether it is meant for such a request."""
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path)


class Faults:
    """The plan of one server. `seed` makes its chances repeat."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.clear()

    def add(self, values: Mapping[str, Any]) -> None:
        """Append an entry; raise ValueError for an unknown name or a value of the wrong type."""
        for name, value in values.items():
            if name not in _KINDS:
                raise ValueError(f"unknown field {name!r} of a fault; known are {', '.join(_KINDS)}")
            if not _fits(value, _KINDS[name]):
                raise ValueError(f"{name} of a fault cannot be {value!r}")
        if "fault" not in values:
            raise ValueError("a fault needs a name")
        self._plan.append(Fault(**values))

    def clear(self) -> None:
        """Let everything go right again."""
        self._plan: list[Fault] = []
        self._random = random.Random(self._seed)  # noqa: S311 - chances must repeat

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, used up by one, or None."""
        for fault in self._plan:
            if not fault.matches(method, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.chance < 1 and self._random.random() >= fault.chance:
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self._plan.remove(fault)
            return fault
        return None

    def state(self) -> list[dict[str, Any]]:
        """Return the plan, JSON types only."""
        return [asdict(fault) for fault in self._plan]


_KINDS: dict[str, Any] = {item.name: item.type for item in fields(Fault)}


def _fits(value: object, kind: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and value >= 0
    return isinstance(value, kind) and not (isinstance(value, int) and value < 0)
