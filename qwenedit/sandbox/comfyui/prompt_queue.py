"""The queue and the history of one server run: both live in memory and die with it.

Owns: the order of prompts, which one runs, what became of the finished ones. Must not know how a prompt runs.
"""

import copy
import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qwenedit.sandbox.comfyui.graph import Graph

HISTORY_LIMIT = 10_000

Item = tuple[float, str, Graph, dict[str, Any], list[str]]
"""(number, prompt id, graph, extra data, output nodes): compared as a tuple, as ComfyUI does, so that two
items with the same number and id are an error."""


@dataclass(frozen=True)
class Outcome:
    """How a prompt ended: what the history keeps of it."""

    outputs: dict[str, Any]
    meta: dict[str, Any]
    success: bool
    messages: list[tuple[str, dict[str, Any]]]


class PromptQueue:
    """Prompts by number, lowest first; `on_change` is called after every change, from any thread."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._changed = threading.Condition(threading.RLock())
        self._pending: list[Item] = []
        self._running: dict[int, Item] = {}
        self._history: dict[str, dict[str, Any]] = {}
        self._ticket = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Add a prompt.

        Raises TypeError for a number and id that wait already, and has it in the queue all the same.
        """
        with self._changed:
            heapq.heappush(self._pending, item)
            self._on_change()
            self._changed.notify_all()

    def get(self) -> tuple[int, Item] | None:
        """Wait for the next prompt and mark it as running; None once the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            if self._closed:
                return None
            item = heapq.heappop(self._pending)
            ticket, self._ticket = self._ticket, self._ticket + 1
            self._running[ticket] = item
            self._on_change()
            return ticket, item

    def close(self) -> None:
        """Let the thread that waits in `get` go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def finish(self, ticket: int, outcome: Outcome) -> None:
        """Move a running prompt to the history; a later one with the same id replaces it."""
        with self._changed:
            item = self._running.pop(ticket)
            if len(self._history) > HISTORY_LIMIT:
                self._history.pop(next(iter(self._history)))
            status = "success" if outcome.success else "error"
            self._history[item[1]] = {
                "prompt": item,
                "outputs": outcome.outputs,
                "status": {"status_str": status, "completed": outcome.success, "messages": outcome.messages},
                "meta": outcome.meta,
            }
            self._on_change()

    @property
    def remaining(self) -> int:
        """The number of prompts that wait or run."""
        with self._changed:
            return len(self._pending) + len(self._running)

    def snapshot(self) -> tuple[list[Item], list[Item]]:
        """Return the running and the pending prompts; the latter in heap order."""
        with self._changed:
            return list(self._running.values()), list(self._pending)

    def is_running(self, prompt_id: str) -> bool:
        """Whether a prompt with this id runs now."""
        with self._changed:
            return any(item[1] == prompt_id for item in self._running.values())

    def delete(self, prompt_id: str) -> bool:
        """Take a pending prompt out of the queue; return whether there was one."""
        with self._changed:
            for item in self._pending:
                if item[1] == prompt_id:
                    self._pending.remove(item)
                    heapq.heapify(self._pending)
                    self._on_change()
                    return True
            return False

    def clear(self) -> None:
        """Take every pending prompt out of the queue."""
        with self._changed:
            self._pending.clear()
            self._on_change()

    def history(
        self, prompt_id: str | None = None, max_items: int | None = None, offset: int = -1
    ) -> dict[str, Any]:
        """Return finished prompts by id, oldest first.

        One of them, or all, or `max_items` from `offset` on; offset -1 means the newest ones.
        """
        with self._changed:
            if prompt_id is not None:
                entry = self._history.get(prompt_id)
                return {} if entry is None else {prompt_id: copy.deepcopy(entry)}
            start = (
                max(0, len(self._history) - max_items)
                if max_items is not None and offset < 0
                else max(0, offset)
            )
            stop = None if max_items is None else start + max_items
            return dict(list(self._history.items())[start:stop])

    def delete_history(self, prompt_id: str) -> None:
        """Forget a finished prompt."""
        with self._changed:
            self._history.pop(prompt_id, None)

    def clear_history(self) -> None:
        """Forget every finished prompt."""
        with self._changed:
            self._history.clear()
