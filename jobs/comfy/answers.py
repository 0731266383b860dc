"""ComfyUI's answers as our own types, and the reading of them.

It turns decoded JSON into frozen values and never opens a connection. No raw dict of ComfyUI
travels past this module; whatever has another shape than recorded is an UnexpectedAnswer.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jobs.comfy.errors import ComfyError, Interrupted, UnexpectedAnswer, execution_failure


class PromptState(Enum):
    """Where a prompt is. UNKNOWN: the node has never heard of it, or has forgotten it in a restart."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether the node has nothing more to do for the prompt."""
        return self not in {PromptState.PENDING, PromptState.RUNNING}


@dataclass(frozen=True, slots=True)
class OutputImage:
    """A file a node of the graph has written: what GET /view needs to find it."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True, slots=True)
class PromptStatus:
    """State of one prompt; `outputs` are the result node's pictures, `error` says why it ended badly."""

    state: PromptState
    outputs: tuple[OutputImage, ...] = ()
    error: ComfyError | None = None


@dataclass(frozen=True, slots=True)
class NodeStats:
    """A node's version and first device; memory in bytes, 0 when it names no device."""

    version: str
    device: str
    vram_total: int
    vram_free: int


@dataclass(frozen=True, slots=True)
class QueueState:
    """Prompt ids on a node. `pending` is in heap order, which is not the order of execution."""

    running: list[str]
    pending: list[str]

    def is_stalled(self, *, overdue: Collection[str] = ()) -> bool:
        """Return whether there is work and none is done: nothing runs, or only what is `overdue`.

        True for a moment between two prompts; when it lasts, the execution thread has died
        although HTTP still answers. If it died within a prompt, that one is called running for ever.
        """
        return bool(self.pending or self.running) and all(one in overdue for one in self.running)


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """An accepted prompt; the queue is served by ascending `number`."""

    number: float


def read_stats(answer: Mapping[str, Any]) -> NodeStats:
    """Read GET /system_stats."""
    try:
        devices = answer["devices"]
        device = devices[0] if devices else {}
        return NodeStats(
            version=str(answer["system"]["comfyui_version"]),
            device=str(device.get("name", "")),
            vram_total=int(device.get("vram_total", 0)),
            vram_free=int(device.get("vram_free", 0)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnexpectedAnswer(f"system_stats of another shape: {error!r}") from error


def read_queue(answer: Mapping[str, Any]) -> QueueState:
    """Read GET /queue."""
    try:
        running, pending = (
            [str(item[1]) for item in answer[key]] for key in ("queue_running", "queue_pending")
        )
    except (KeyError, IndexError, TypeError) as error:
        raise UnexpectedAnswer(f"queue of another shape: {error!r}") from error
    return QueueState(running, pending)


def read_images(output: object) -> tuple[OutputImage, ...]:
    """Read one node's output, `{"images": [{"filename", "subfolder", "type"}]}`; other outputs give none."""
    images = output.get("images") if isinstance(output, Mapping) else None
    try:
        return tuple(
            OutputImage(str(image["filename"]), str(image["subfolder"]), str(image["type"]))
            for image in images or ()
        )
    except (KeyError, TypeError) as error:
        raise UnexpectedAnswer(f"output of another shape: {error!r}") from error


JOB_STATES = {
    "pending": PromptState.PENDING,
    "in_progress": PromptState.RUNNING,
    "completed": PromptState.COMPLETED,
    "failed": PromptState.FAILED,
    "cancelled": PromptState.CANCELLED,
}


def read_job(job: Mapping[str, Any], output_node: str) -> PromptStatus:
    """Read GET /api/jobs/{id}."""
    state = JOB_STATES.get(str(job.get("status")))
    if state is None:
        raise UnexpectedAnswer(f"job of unknown status {job.get('status')!r}")
    if state is PromptState.COMPLETED:
        return PromptStatus(state, _outputs(job, output_node))
    if state is PromptState.FAILED:
        return _ended_badly(job.get("execution_status"), job.get("execution_error"))
    if state is PromptState.CANCELLED:
        return _cancelled()
    return PromptStatus(state)


def read_history(entry: Mapping[str, Any], output_node: str) -> PromptStatus:
    """Read one entry of GET /history/{id}: a prompt that has ended."""
    status = entry.get("status")
    if isinstance(status, Mapping) and status.get("status_str") == "error":
        return _ended_badly(status, None)
    return PromptStatus(PromptState.COMPLETED, _outputs(entry, output_node))


def _outputs(record: Mapping[str, Any], output_node: str) -> tuple[OutputImage, ...]:
    outputs = record.get("outputs")
    return read_images(outputs.get(output_node)) if isinstance(outputs, Mapping) else ()


def _ended_badly(status: object, error: object) -> PromptStatus:
    """Tell a failure from an interruption: both say "error", only the last message differs."""
    messages = status.get("messages") if isinstance(status, Mapping) else None
    for message in reversed(messages if isinstance(messages, list) else []):
        match message:
            case ["execution_interrupted", *_]:
                return _cancelled()
            case ["execution_error", dict(data)]:
                return PromptStatus(PromptState.FAILED, error=execution_failure(data))
    reason = error if isinstance(error, Mapping) else None
    return PromptStatus(PromptState.FAILED, error=execution_failure(reason))


def _cancelled() -> PromptStatus:
    return PromptStatus(PromptState.CANCELLED, error=Interrupted("the prompt was interrupted or cancelled"))
