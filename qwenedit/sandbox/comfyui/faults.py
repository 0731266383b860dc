"""What can be made to go wrong, and the moment it does.

Owns: the switches below and their effect on the execution thread. The transport's faults are
applied by `middleware` and `routes`, which read them here.

They are set by options at the start, and at run time by `POST /sandbox/faults` with a JSON object of
any of these keys (GET answers the present values). Numbers of prompts count down as they are used.

    seconds_per_step   seconds one sampling step takes (0: as fast as the filters)
    out_of_memory      the next N prompts end in torch.OutOfMemoryError
    runtime_error      the next N prompts end in RuntimeError
    hang               true: execution stands still, deaf to interrupts, until false; HTTP goes on answering
    die                true: the process ends in the middle of the next prompt, as an out-of-memory kill does
    worker_dead        true: the execution thread is gone; prompts are accepted, never run, until a restart
    delay              seconds every HTTP answer is held back after its work is done
    lose_answers       the next N POST /prompt are carried out, but the connection closes without an answer
    history_delay      seconds between execution_success and the entry in the history; a change ends the wait
    cut_websockets     in the middle of the next N prompts every WebSocket breaks
    refuse_websockets  for so many seconds from now new WebSockets are refused with 503
    refuse_uploads     true: POST /upload/image answers 500
    missing_models     model file names that are not installed

and of these, which act once: `drop_websockets` (true: break every WebSocket now), `restart` (true: forget
queue, history, cache and temp files, break every WebSocket and every hang, as a restart does) and `reset`
(true: first set every fault back to what the options said).
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

ACTIONS = ("reset", "restart", "drop_websockets")
EXIT_CODE_OF_A_KILL = 137


class OutOfMemoryError(RuntimeError):
    """What PyTorch raises when the GPU has no room; reported under PyTorch's name."""

    __module__ = "torch"


@dataclass
class Settings:
    """The switches, as described above."""

    seconds_per_step: float = 0.05
    out_of_memory: int = 0
    runtime_error: int = 0
    hang: bool = False
    die: bool = False
    worker_dead: bool = False
    delay: float = 0.0
    lose_answers: int = 0
    history_delay: float = 0.0
    cut_websockets: int = 0
    refuse_websockets: float = 0.0
    refuse_uploads: bool = False
    missing_models: list[str] = field(default_factory=list)


class Faults:
    """The switches of one server, shared by its threads."""

    def __init__(self, initial: Settings) -> None:
        self._initial = initial
        self._changed = threading.Condition()
        self.now = Settings()
        self._websockets_refused_until = 0.0
        self.reset()

    def reset(self) -> None:
        """Set every fault back to what the options said."""
        self.update({name: getattr(self._initial, name) for name in _TYPES})

    def update(self, values: Mapping[str, Any]) -> None:
        """Set the given faults; raise ValueError for an unknown name or a value of the wrong type."""
        for name, value in values.items():
            if name not in _TYPES:
                raise ValueError(f"unknown fault {name!r}; known are {', '.join([*_TYPES, *ACTIONS])}")
            if not _fits(value, _TYPES[name]):
                raise ValueError(f"{name} takes {_TYPES[name].__name__}, not {value!r}")
        with self._changed:
            for name, value in values.items():
                setattr(self.now, name, list(value) if isinstance(value, list) else value)
            if "refuse_websockets" in values:
                self._websockets_refused_until = time.monotonic() + values["refuse_websockets"]
            self._changed.notify_all()

    def heal(self) -> None:
        """Undo what a restart of the process would undo."""
        self.update({"hang": False, "die": False, "worker_dead": False})

    def state(self) -> dict[str, Any]:
        """Return every fault as it stands, JSON types only."""
        left = max(0.0, self._websockets_refused_until - time.monotonic())
        return {name: getattr(self.now, name) for name in _TYPES} | {"refuse_websockets": round(left, 3)}

    @property
    def websockets_refused(self) -> bool:
        """Whether new WebSockets are refused at this moment."""
        return time.monotonic() < self._websockets_refused_until

    def take(self, name: str) -> bool:
        """Use up one of a counted fault; return whether there was one."""
        with self._changed:
            left: int = getattr(self.now, name)
            if left > 0:
                setattr(self.now, name, left - 1)
            return left > 0

    def strike(self, cut_websockets: Callable[[], None], is_abandoned: Callable[[], bool]) -> None:
        """Do to the running prompt what the switches say; called once, in the middle of its execution.

        A run that a restart has abandoned may come here, or wake up here, after faults were set for the next:
        it takes none. The lock is that of whoever sets them, so what is taken was set before the restart.
        """
        with self._changed:
            if is_abandoned():
                return
            if self.take("cut_websockets"):
                cut_websockets()
            if self.now.die:
                os._exit(EXIT_CODE_OF_A_KILL)
            self._changed.wait_for(lambda: is_abandoned() or not self.now.hang)
            if is_abandoned():
                return
            if self.take("out_of_memory"):
                raise OutOfMemoryError("Allocation on device 0 would exceed allowed memory. (out of memory)")
            if self.take("runtime_error"):
                raise RuntimeError("the sandbox was told to fail")

    def hold_history_back(self) -> None:
        """Wait for as long as `history_delay` says, or until it says otherwise."""
        with self._changed:
            delay = self.now.history_delay
            self._changed.wait_for(lambda: self.now.history_delay != delay, timeout=delay)


_TYPES: dict[str, type] = {item.name: type(getattr(Settings(), item.name)) for item in fields(Settings)}


def _fits(value: object, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and value >= 0
    return isinstance(value, int) and value >= 0
