"""What the world hears about one prompt: messages to clients, and those that the history keeps.

Owns: names, fields and addressees of the messages. Must not know why something happened.
Messages about nodes and the end of a prompt go to its client alone, and to nobody without one; progress and
interrupts go to everyone without one.
"""

import io
import json
import time
import traceback
from collections.abc import Mapping
from typing import Any, Protocol

from PIL import Image

from qwenedit.sandbox.comfyui.faults import OutOfMemoryError
from qwenedit.sandbox.comfyui.prompt_queue import Item

PREVIEW_METHODS = ("auto", "latent2rgb", "taesd")
PREVIEW_SIZE = (512, 512)
OUT_OF_MEMORY_ADVICE = (
    "This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might "
    "have accidentally set the batch_size to a large number."
)


class Messenger(Protocol):
    """Where messages go; `events.Events` is one."""

    def send(self, event: str, data: dict[str, Any], client_id: Any = None) -> None:
        """Queue a message for one client, or for all if `client_id` is None."""

    def send_text(self, message: str, client_id: Any = None) -> None:
        """Queue a message that is JSON already, as `send` does."""

    def send_preview(self, picture: bytes, metadata: dict[str, Any], client_id: Any) -> bool:
        """Queue a preview with metadata if the client understands that; return whether it does."""

    def send_plain_preview(self, picture: bytes, client_id: Any) -> None:
        """Queue a preview without metadata."""

    def break_all(self) -> None:
        """Break every connection."""


class Report:
    """The messages of one prompt. `kept` are those for the history, `shown` what output nodes returned."""

    def __init__(self, item: Item, messenger: Messenger) -> None:
        _, self._prompt_id, self._graph, self._extra_data, _ = item
        self._messenger = messenger
        self._states: dict[str, str] = {}  # the nodes so far, each as JSON: every message repeats all of them
        self._total: float = 1.0
        self.client_id = self._extra_data.get("client_id")
        self.executed: list[str] = []
        self.kept: list[tuple[str, dict[str, Any]]] = []
        self.shown: dict[str, Any] = {}

    def started(self) -> None:
        """Tell that the prompt runs."""
        self._keep("execution_start", prompt_id=self._prompt_id)

    def cached(self, node_ids: list[str]) -> None:
        """Tell which results are known from the prompt before."""
        self._keep("execution_cached", nodes=node_ids, prompt_id=self._prompt_id)

    def succeeded(self) -> None:
        """Tell that every output was made."""
        self._keep("execution_success", prompt_id=self._prompt_id)

    def interrupted(self, node_id: str) -> None:
        """Tell that the prompt ended before or in a node because someone asked for that."""
        data = self._end(node_id) | {"timestamp": _now()}
        self.kept.append(("execution_interrupted", data))
        self._messenger.send("execution_interrupted", data, self.client_id)

    def failed(self, node_id: str, inputs: Mapping[str, Any], error: Exception) -> None:
        """Tell what a node raised."""
        advice = OUT_OF_MEMORY_ADVICE if isinstance(error, OutOfMemoryError) else ""
        self._keep(
            "execution_error",
            **self._end(node_id),
            exception_message=f"{error}\n{advice}",
            exception_type=_full_name(type(error)),
            traceback=traceback.format_tb(error.__traceback__),
            current_inputs={name: [_plain(value)] for name, value in inputs.items()},
            current_outputs=list(self._graph),
        )

    def node_started(self, node_id: str) -> None:
        """Tell that a node runs."""
        self._state(node_id, 0.0, 1.0, "running")
        self._tell("executing", node=node_id, display_node=node_id, prompt_id=self._prompt_id)

    def node_progressed(self, node_id: str, value: int, total: int, picture: Image.Image) -> None:
        """Tell that a node finished a step, with a preview if the prompt asked for previews."""
        self._state(node_id, value, total, "running")
        preview = self._preview(picture)
        metadata = {"node_id": node_id, "prompt_id": self._prompt_id, **_display_names(node_id)}
        is_sent = not preview or self._messenger.send_preview(preview, metadata, self.client_id)
        data = {"value": value, "max": total, "prompt_id": self._prompt_id, "node": node_id}
        self._messenger.send("progress", data, self.client_id)
        if not is_sent:
            self._messenger.send_plain_preview(preview, self.client_id)

    def node_finished(self, node_id: str, shown: dict[str, Any] | None, *, was_cached: bool) -> None:
        """Tell what an output node shows, and that a node is done."""
        if shown is not None:
            self.shown[node_id] = shown
            self._tell(
                "executed", node=node_id, display_node=node_id, output=shown, prompt_id=self._prompt_id
            )
        if not was_cached:
            self.executed.append(node_id)
        total = 1 if was_cached else self._total
        self._state(node_id, total, total, "finished")

    def meta(self) -> dict[str, Any]:
        """Return what the history says about the nodes with something to show."""
        return {
            node_id: {
                "node_id": node_id,
                "display_node": node_id,
                "parent_node": None,
                "real_node_id": node_id,
            }
            for node_id in self.shown
        }

    def _tell(self, event: str, **data: Any) -> None:
        if self.client_id is not None:
            self._messenger.send(event, data, self.client_id)

    def _keep(self, event: str, **data: Any) -> None:
        data["timestamp"] = _now()
        self.kept.append((event, data))
        self._tell(event, **data)

    def _end(self, node_id: str) -> dict[str, Any]:
        return {
            "prompt_id": self._prompt_id,
            "node_id": node_id,
            "node_type": self._graph[node_id]["class_type"],
            "executed": self.executed,
        }

    def _state(self, node_id: str, value: float, total: float, state: str) -> None:
        self._total = total
        entry = {
            "value": value,
            "max": total,
            "state": state,
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            **_display_names(node_id),
        }
        self._states[node_id] = f"{json.dumps(node_id)}: {json.dumps(entry)}"
        nodes = f'"prompt_id": {json.dumps(self._prompt_id)}, "nodes": {{{", ".join(self._states.values())}}}'
        self._messenger.send_text(f'{{"type": "progress_state", "data": {{{nodes}}}}}', self.client_id)

    def _preview(self, picture: Image.Image) -> bytes:
        if self._extra_data.get("preview_method") not in PREVIEW_METHODS:
            return b""
        small = picture.copy()
        small.thumbnail(PREVIEW_SIZE)
        buffer = io.BytesIO()
        small.save(buffer, format="JPEG")
        return buffer.getvalue()


def _now() -> int:
    return int(time.time() * 1000)


def _display_names(node_id: str) -> dict[str, str | None]:
    return {"display_node_id": node_id, "parent_node_id": None, "real_node_id": node_id}


def _full_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
