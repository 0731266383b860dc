"""Idempotence keys: the first answer is kept for a day and given again.

Owns: what counts as the same request, and how long. Must not know what requests do.
The same key with the same data gets the kept answer, with other data a refusal; after a day it is a new key.
A request that was refused keeps nothing: its key may be used again.
"""

import json
from collections.abc import Mapping
from typing import Any

from qwenedit.sandbox.yookassa.clock import Clock
from qwenedit.sandbox.yookassa.errors import invalid
from qwenedit.sandbox.yookassa.records import KeptAnswer
from qwenedit.sandbox.yookassa.store import Store

LIFETIME = 86_400.0


class Keys:
    """The keys of the last 24 hours."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._answers = store.answers
        self._clock = clock

    def find(self, key: str, request: str) -> dict[str, Any] | None:
        """Return the kept answer, or None for a new key; raises `errors.Refusal` if the request differs."""
        kept = self._answers.get(key)
        if kept is None:
            return None
        if self._clock.now() >= kept.created_at + LIFETIME:
            self._answers.delete(key)
            return None
        if kept.request != request:
            raise invalid("Idempotence-Key", "Idempotence key duplicated")
        return kept.body

    def keep(self, key: str, request: str, body: dict[str, Any]) -> None:
        """Keep the answer to a request that was carried out."""
        self._answers.save(KeptAnswer(key, request, body, self._clock.now()))


def fingerprint(path: str, body: Mapping[str, Any]) -> str:
    """Return a text that two requests share if they ask for the same; the order of fields does not count."""
    return f"{path} {json.dumps(body, sort_keys=True, ensure_ascii=False)}"
