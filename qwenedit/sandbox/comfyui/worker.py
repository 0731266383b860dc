"""The execution thread: takes prompts from the queue, one at a time, until it is told to stop.

Owns: what one run of a ComfyUI process holds in memory (queue, history, cache, prompt numbers) and loses
when it ends. `abandon` is that end, without the process: from then on the thread is mute and harmless.
"""

import threading
from typing import Any

from qwenedit.sandbox.comfyui.events import Events
from qwenedit.sandbox.comfyui.execution import Executor, Options
from qwenedit.sandbox.comfyui.faults import Faults
from qwenedit.sandbox.comfyui.prompt_queue import PromptQueue
from qwenedit.sandbox.comfyui.schema import Resources


class Worker:
    """One run: a queue and the thread that empties it."""

    def __init__(self, resources: Resources, faults: Faults, options: Options, events: Events) -> None:
        self._faults = faults
        self._events = events
        self._forget = False
        self._next_number = 0
        self.queue = PromptQueue(self.tell_status)
        self.executor = Executor(resources, faults, options, self)
        self._thread = threading.Thread(target=self._work, name="execution", daemon=True)

    def start(self) -> None:
        """Start executing prompts."""
        self._thread.start()

    def die(self) -> None:
        """End the thread after the prompt that runs; the queue goes on taking prompts."""
        self.queue.close()

    def abandon(self) -> None:
        """End this run: its running prompt stops at the next step, its messages reach nobody."""
        self.executor.abandon()
        self.queue.close()

    def take_number(self) -> int:
        """Return the next prompt number."""
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    def forget_results(self) -> None:
        """Empty the cache of results before the next prompt starts."""
        self._forget = True

    def tell_status(self) -> None:
        """Tell every client how many prompts remain."""
        self.send("status", {"status": self.status()})

    def status(self) -> dict[str, Any]:
        """Return the state of the queue as clients get it."""
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    def _work(self) -> None:
        while not self._faults.now.worker_dead:
            taken = self.queue.get()
            if taken is None:
                return
            ticket, item = taken
            if self._forget:
                self._forget = False
                self.executor.forget_results()
            outcome = self.executor.execute(item)
            self._faults.hold_history_back()
            self.queue.finish(ticket, outcome)
            client_id = item[3].get("client_id")
            if client_id is not None:
                self.send("executing", {"node": None, "prompt_id": item[1]}, client_id)
            self._events.flush()

    def send(self, event: str, data: dict[str, Any], client_id: Any = None) -> None:
        """Pass a message on, unless this run is over."""
        if not self.executor.is_abandoned:
            self._events.send(event, data, client_id)

    def send_text(self, message: str, client_id: Any = None) -> None:
        """Pass a message that is JSON already on, unless this run is over."""
        if not self.executor.is_abandoned:
            self._events.send_text(message, client_id)

    def send_preview(self, picture: bytes, metadata: dict[str, Any], client_id: Any) -> bool:
        """Pass a preview with metadata on, unless this run is over."""
        return self.executor.is_abandoned or self._events.send_preview(picture, metadata, client_id)

    def send_plain_preview(self, picture: bytes, client_id: Any) -> None:
        """Pass a preview on, unless this run is over."""
        if not self.executor.is_abandoned:
            self._events.send_plain_preview(picture, client_id)

    def break_all(self) -> None:
        """Break every connection, unless this run is over."""
        if not self.executor.is_abandoned:
            self._events.break_all()
