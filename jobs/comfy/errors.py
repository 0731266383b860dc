"""What can go wrong between us and a ComfyUI node, sorted by what to do about it.

    ComfyError                  retryable  operator_alarm
      ComfyUnreachable             yes          -     refused, reset, timed out, or its proxy says 502-599
      UnexpectedAnswer             yes         yes    not ComfyUI, a wrong password, or a server error
      UploadRejected                -          yes    the node's size limit, or a bad name
      WorkflowRejected              -          yes    POST /prompt found the graph invalid
        ModelMissing                -          yes    a model file is not installed
      InputMissing                 yes          -     the uploaded picture is gone
      ExecutionFailed              yes          -     a node of the graph raised
        OutOfMemory                yes          -
        ModelBroken                 -          yes    a model file cannot be loaded
        ModelUnreadable            yes         yes    nor can it be read now: a fault of disk or mount
      Interrupted                  yes          -     somebody interrupted it on the node
      PromptLost                   yes          -     the node no longer knows the prompt: it restarted
      AttemptTimeout               yes          -
        NodeStalled                yes          -     the node answers, but executes nothing
      ResultMissing                yes          -     finished, but no picture can be had
      ResultTooLarge                -          yes
      WorkflowInputError            -           -     the caller asked what the workflow cannot do
      WorkflowTemplateError         -          yes    a workflow file contradicts itself

`message` is safe to show to a user. `detail` is the operator's text and may hold server
paths. It knows nothing of HTTP: `client` and `events` decide which error an answer means.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from qwenedit.errors import DomainError

DETAIL_LIMIT = 2000


class ComfyError(DomainError):
    """An attempt on a ComfyUI node failed.

    `detail` is for the operator: at most DETAIL_LIMIT characters, without NUL (which PostgreSQL
    refuses). It is attached as a note, so a logged traceback shows it while `str()` does not.
    """

    code: ClassVar[str] = "comfy_error"
    status: ClassVar[int] = 502
    operator_alarm: ClassVar[bool] = False
    is_nodes_loss: ClassVar[bool] = False  # the node went away with it: any other may take it at once
    blames_node: ClassVar[bool] = False  # three in a row, and the node is given a pause
    pauses_at_once: ClassVar[bool] = False  # the next edit would fail there too, but not on another node
    public_message: ClassVar[str] = "The edit could not be made."

    def __init__(self, detail: str = "") -> None:
        super().__init__(self.public_message)
        self.detail = _shorten(detail, DETAIL_LIMIT)
        if self.detail:
            self.add_note(self.detail)


class ComfyUnreachable(ComfyError):
    """The node did not answer. Raised by POST /prompt, it means that the outcome is unknown."""

    code = "comfy_unreachable"
    status = 503
    retryable = True
    is_nodes_loss = True
    blames_node = True
    public_message = "The GPU server did not answer."


class UnexpectedAnswer(ComfyError):
    """Something answered, but not as ComfyUI does."""

    code = "comfy_unexpected_answer"
    retryable = True
    blames_node = True
    operator_alarm = True
    public_message = "The GPU server gave an unexpected answer."


class UploadRejected(ComfyError):
    """The node refused a picture."""

    code = "upload_rejected"
    operator_alarm = True
    blames_node = True
    pauses_at_once = True
    public_message = "The GPU server did not accept the picture."


class WorkflowRejected(ComfyError):
    """The node found the graph invalid; the same graph will never run there."""

    code = "workflow_rejected"
    operator_alarm = True
    blames_node = True
    pauses_at_once = True
    public_message = "The GPU server did not accept the workflow."


class ModelMissing(WorkflowRejected):
    """A model file that the graph names is not installed; `files` names it."""

    code = "model_missing"
    public_message = "A model file is missing on the GPU server."

    def __init__(self, detail: str = "", *, files: Iterable[str] = ()) -> None:
        self.files = tuple(files)
        super().__init__(detail)


class InputMissing(ComfyError):
    """The uploaded picture is gone, as when a container restarts between upload and prompt."""

    code = "input_missing"
    retryable = True
    public_message = "The GPU server lost the uploaded picture."


class ExecutionFailed(ComfyError):
    """A node of the graph raised; what is not known to be permanent is tried again."""

    code = "execution_failed"
    retryable = True
    public_message = "The edit failed on the GPU server."


class OutOfMemory(ExecutionFailed):
    """The node's memory, of the GPU or of the machine, did not suffice."""

    code = "out_of_memory"
    blames_node = True
    public_message = "The GPU server ran out of memory."


class ModelBroken(ExecutionFailed):
    """A model file is installed but cannot be loaded: truncated, or of another kind."""

    code = "model_broken"
    retryable = False
    operator_alarm = True
    blames_node = True
    pauses_at_once = True
    public_message = "A model file on the GPU server is broken."


class ModelUnreadable(ExecutionFailed):
    """A model file could not be read: a fault of the disk, or of a network's, which may pass."""

    code = "model_unreadable"
    operator_alarm = True
    blames_node = True
    pauses_at_once = True
    public_message = "A model file could not be read on the GPU server."


class Interrupted(ComfyError):
    """The prompt was interrupted on the node."""

    code = "interrupted"
    retryable = True
    public_message = "The edit was interrupted on the GPU server."


class PromptLost(ComfyError):
    """The node does not know the prompt any more; a restart loses queue and history."""

    code = "prompt_lost"
    retryable = True
    is_nodes_loss = True
    blames_node = True
    public_message = "The GPU server restarted during the edit."


class AttemptTimeout(ComfyError):
    """The attempt took longer than it may."""

    code = "attempt_timeout"
    status = 504
    retryable = True
    blames_node = True
    public_message = "The edit took too long."


class NodeStalled(AttemptTimeout):
    """Prompts wait on the node and none runs: its execution thread has died, while HTTP goes on answering."""

    code = "node_stalled"
    is_nodes_loss = True
    pauses_at_once = True
    public_message = "The GPU server stands still."


class ResultMissing(ComfyError):
    """The prompt finished, but its picture is not there."""

    code = "result_missing"
    retryable = True
    public_message = "The GPU server lost the result."


class ResultTooLarge(ComfyError):
    """The result has more bytes than we accept."""

    code = "result_too_large"
    operator_alarm = True
    public_message = "The result is too large."


class WorkflowInputError(ComfyError):
    """The inputs do not fit the workflow."""

    code = "workflow_input"
    status = 400
    public_message = "This edit is not possible with the chosen model."


class WorkflowTemplateError(ComfyError):
    """A workflow file contradicts itself; `problems` lists everything that is wrong."""

    code = "workflow_template"
    status = 500
    operator_alarm = True
    public_message = "The workflow is not set up correctly."

    def __init__(self, detail: str = "", *, problems: Iterable[str] = ()) -> None:
        self.problems = list(problems)
        super().__init__(f"{detail}: {'; '.join(self.problems)}" if self.problems else detail)


MODEL_FILE_SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
BROKEN_MODEL_MARKS = ("could not detect model type", "vae is invalid", "deserializing header")
OUT_OF_MEMORY_TYPES = ("OutOfMemoryError", "MemoryError")
OUT_OF_MEMORY_MARKS = (
    "out of memory",
    "allocation on device",
    "can't allocate memory",
    "cannot allocate memory",  # mmap of a model file
    "not enough memory",
    "os error 12)",  # the same from Rust, on Linux and on Windows
    "os error 1455)",
    "paging file is too small",
)
GPU_FAULT_MARKS = ("cuda error", "hip error", "cublas", "cudnn", "nccl")
# The last is what ComfyUI's reader of model files makes of any OSError.
READING_FAULT_MARKS = ("i/o error", "input/output error", "argument of type 'int' is not")
READING_FAULT_TYPES = ("OSError", "PermissionError", "TimeoutError", "ConnectionResetError")


def execution_failure(error: Mapping[str, Any] | None) -> ExecutionFailed:
    """Return the typed error of an `execution_error` message.

    The same mapping comes by WebSocket, in /history and as `execution_error` of /api/jobs.
    Its `current_inputs` and `traceback` are left out of `detail`: they hold the user's words
    and dumped tensors. A loader that raises means a broken model file, except for a fault of
    the GPU itself, which a restart cures, or of the disk.
    """
    if not error:
        return ExecutionFailed("the node gave no reason")
    kind = str(error.get("exception_type") or "unknown error")
    text = str(error.get("exception_message") or "").strip()
    node_type = str(error.get("node_type") or "?")
    detail = f"{node_type} (node {error.get('node_id')}) raised {kind}: {text}"
    low = text.lower()
    if kind.rpartition(".")[2] in OUT_OF_MEMORY_TYPES or any(mark in low for mark in OUT_OF_MEMORY_MARKS):
        return OutOfMemory(detail)
    is_loader = "Loader" in node_type
    if is_loader and (kind in READING_FAULT_TYPES or any(mark in low for mark in READING_FAULT_MARKS)):
        return ModelUnreadable(detail)
    if "SafetensorError" in kind or any(mark in low for mark in BROKEN_MODEL_MARKS):
        return ModelBroken(detail)
    if is_loader and not any(mark in low for mark in GPU_FAULT_MARKS):
        return ModelBroken(detail)
    return ExecutionFailed(detail)


def rejection(error: Mapping[str, Any], node_errors: Mapping[str, Any]) -> ComfyError:
    """Return the typed error of a refused POST /prompt: its `error` and its `node_errors`."""
    faults = [
        (str(node_id), str(node.get("class_type")), fault)
        for node_id, node in node_errors.items()
        if isinstance(node, Mapping)
        for fault in node.get("errors") or ()
        if isinstance(fault, Mapping)
    ]
    heading = ": ".join(str(error[key]) for key in ("type", "message", "details") if error.get(key))
    info = error.get("extra_info")
    if isinstance(info, Mapping) and info.get("class_type"):
        # The message itself calls a node by its title.
        heading += f" ({info['class_type']})"
    lines = [
        f"{class_type} (node {node_id}): {fault.get('type')}: {_shorten(str(fault.get('details')), 300)}"
        for node_id, class_type, fault in faults
    ]
    detail = "; ".join([heading, *lines] if heading else lines)
    files = [name for _, class_type, fault in faults if (name := _missing_model(class_type, fault))]
    if files:
        return ModelMissing(f"not installed: {', '.join(files)}; {detail}", files=files)
    if faults and all(_is_lost_input(class_type, fault) for _, class_type, fault in faults):
        return InputMissing(detail)
    return WorkflowRejected(detail)


def _missing_model(class_type: str, fault: Mapping[str, Any]) -> str | None:
    """Return the model file that `fault` misses; a value such as CLIPLoader's `type` is not one."""
    if fault.get("type") != "value_not_in_list":
        return None
    info = fault.get("extra_info")
    info = info if isinstance(info, Mapping) else {}
    value, input_name = str(info.get("received_value")), str(info.get("input_name"))
    is_file = value.lower().endswith(MODEL_FILE_SUFFIXES)
    return value if is_file or ("Loader" in class_type and input_name.endswith("_name")) else None


def _is_lost_input(class_type: str, fault: Mapping[str, Any]) -> bool:
    return (
        class_type == "LoadImage"
        and fault.get("type") == "custom_validation_failed"
        and "Invalid image file" in str(fault.get("details"))
    )


def _shorten(text: str, limit: int) -> str:
    text = text.replace("\x00", "")
    return text if len(text) <= limit else text[: limit - 1] + "…"
