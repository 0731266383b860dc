"""The HTTP side of one ComfyUI node: health, uploads, prompts, results.

It owns the differences between server versions (0.3.64 to 0.33) and speaks in the types of
`answers` and `errors`. It knows nothing of our jobs, and it repeats no request that changes
anything: whether to try again is the caller's decision.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote
from uuid import UUID

from jobs.comfy.address import Address
from jobs.comfy.answers import (
    NodeStats,
    OutputImage,
    PromptState,
    PromptStatus,
    QueueState,
    SubmitResult,
    read_history,
    read_job,
    read_queue,
    read_stats,
)
from jobs.comfy.errors import (
    ComfyError,
    ResultMissing,
    ResultTooLarge,
    UnexpectedAnswer,
    UploadRejected,
    WorkflowRejected,
    rejection,
)
from jobs.comfy.transport import Transport

logger = logging.getLogger(__name__)

UNKNOWN_RECHECK_SECONDS = 0.2
# Seconds for a whole answer. A node that is frozen takes connections and says nothing: whoever waits for it
# as long as for a picture keeps its work from the other nodes.
LONGEST_QUESTION = 5.0
LONGEST_SUBMISSION = 10.0


class ComfyClient:
    """One ComfyUI node; the threads of a process may share it.

    `base_url` may hold credentials and a path prefix: `http://user:password@host/comfy/`.
    Every method may raise ComfyUnreachable and UnexpectedAnswer; every one has a timeout.
    """

    def __init__(self, base_url: str) -> None:
        address = Address.parse(base_url)
        self.url = address.url
        self._transport = Transport(address)
        self._lacks_jobs_route = False
        self._lacks_cancel_route = False

    def __repr__(self) -> str:
        return f"<ComfyClient {self.url}>"

    def close(self) -> None:
        """Close the pooled connections; the client can still be used."""
        self._transport.close()

    def system_stats(self, *, timeout: float = 2.0) -> NodeStats:
        """Return version and memory of the node, within `timeout` seconds in all."""
        return read_stats(self._get_json("/system_stats", within=timeout))

    def queue(self, *, timeout: float = LONGEST_QUESTION) -> QueueState:
        """Return the ids of running and pending prompts, within `timeout` seconds in all."""
        return read_queue(self._get_json("/queue", within=timeout))

    def upload_image(self, data: bytes, name: str, subfolder: str = "") -> str:
        """Upload a picture and return the reference that a LoadImage node takes.

        The reference uses the name the node returns, which differs from `name` when another
        picture has it. The node stores whatever it gets: validate the picture first.
        Raises UploadRejected when it is too large for the node.
        """
        if not name or "/" in name or "\\" in name:
            raise ValueError("an uploaded picture's name is not empty and has no slash")
        answer = self._transport.request(
            "POST",
            "/upload/image",
            form={
                "type": "input",
                "subfolder": subfolder,
                "image": (name, data, "application/octet-stream"),
            },
        )
        if answer.status in {400, 413}:
            raise UploadRejected(f"{len(data)} bytes: {answer.describe()}")
        stored = answer.json()
        if answer.status != 200 or stored is None or not stored.get("name"):
            raise UnexpectedAnswer(answer.describe())
        folder = stored.get("subfolder")
        return f"{folder}/{stored['name']}" if folder else str(stored["name"])

    def submit(
        self, prompt: Mapping[str, Any], prompt_id: str, client_id: str, *, output_node: str = "save"
    ) -> SubmitResult:
        """Queue a graph under our own id.

        ComfyUI does not recognise an id it has already got: posting it twice runs it twice. After
        ComfyUnreachable the outcome is unknown: ask `status(prompt_id)` before submitting again.
        Raises WorkflowRejected, ModelMissing, InputMissing; also when ComfyUI accepts the graph
        but not its `output_node`, and then cancels it.
        """
        if str(UUID(prompt_id)) != prompt_id:
            raise ValueError("prompt_id must be a UUID in canonical lowercase form")
        if not isinstance(client_id, str):
            raise TypeError("client_id must be a string: anything else can crash the server")
        body = {"prompt": prompt, "prompt_id": prompt_id, "client_id": client_id}
        answer = self._transport.request("POST", "/prompt", within=LONGEST_SUBMISSION, content=body)
        if answer.status == 413:
            raise WorkflowRejected(answer.describe())
        content = answer.json()
        if content is None or answer.status not in {200, 400}:
            raise UnexpectedAnswer(answer.describe())
        node_errors = _mapping(content.get("node_errors"))
        if answer.status == 400:
            error = content.get("error")
            raise rejection(error if isinstance(error, Mapping) else {"message": error}, node_errors)
        accepted_id = str(content.get("prompt_id"))
        if accepted_id != prompt_id:
            self._cancel_quietly(accepted_id)
            raise UnexpectedAnswer(f"{self.url} chose its own prompt_id: it needs ComfyUI 0.3.57 or newer")
        if _spoils(node_errors, output_node):
            self._cancel_quietly(prompt_id)
            raise rejection({}, node_errors)
        if node_errors:
            logger.warning("ComfyUI runs prompt %s without invalid nodes %s", prompt_id, sorted(node_errors))
        return SubmitResult(number=float(content.get("number") or 0))

    def status(self, prompt_id: str, *, output_node: str = "save") -> PromptStatus:
        """Return where the prompt is, with the pictures of `output_node` when it has completed.

        UNKNOWN is said only after a second look: a finished prompt can be missing from the
        history for a moment.
        """
        found = self._look_up(prompt_id, output_node)
        if found.state is PromptState.UNKNOWN:
            time.sleep(UNKNOWN_RECHECK_SECONDS)
            found = self._look_up(prompt_id, output_node)
        return found

    def cancel(self, prompt_id: str) -> bool:
        """Cancel a pending or running prompt and return whether there was one; harmless to repeat.

        True is not final: a prompt in its last node still completes. `status` tells.
        """
        if not self._lacks_cancel_route:
            route = f"/api/jobs/{quote(prompt_id, safe='')}/cancel"
            answer = self._transport.request("POST", route, within=LONGEST_QUESTION)
            content = answer.json()
            if answer.status == 200 and content is not None:
                return bool(content.get("cancelled"))
            if answer.status not in {404, 405}:
                raise UnexpectedAnswer(answer.describe())
        found = self._cancel_by_queue(prompt_id)
        self._lacks_cancel_route = True
        return found

    def view(self, image: OutputImage, max_bytes: int) -> bytes:
        """Download a result.

        Raises ResultMissing, or ResultTooLarge as soon as more than `max_bytes` have come.
        After ComfyUnreachable another `view` is cheaper than another attempt: the file stays.
        """
        params = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        answer = self._transport.request(
            "GET", "/view", max_bytes=max_bytes, too_large=ResultTooLarge, params=params
        )
        if answer.status == 404:
            raise ResultMissing(f"{image} is not on {self.url}")
        if answer.status != 200:
            raise UnexpectedAnswer(answer.describe())
        return answer.body

    def free(self) -> None:
        """Ask the node to unload its models and empty its caches, as after OutOfMemory."""
        self._command("/free", {"unload_models": True, "free_memory": True})

    def _look_up(self, prompt_id: str, output_node: str) -> PromptStatus:
        if not self._lacks_jobs_route:
            route = f"/api/jobs/{quote(prompt_id, safe='')}"
            answer = self._transport.request("GET", route, within=LONGEST_QUESTION)
            content = answer.json()
            if answer.status == 200 and content is not None:
                return read_job(content, output_node)
            if answer.status != 404:
                raise UnexpectedAnswer(answer.describe())
            # Only the route itself answers in JSON; before 0.6.0 the 404 is the file server's.
            if content is not None and "error" in content:
                return PromptStatus(PromptState.UNKNOWN)
        found = self._look_up_in_history(prompt_id, output_node)
        self._lacks_jobs_route = True
        return found

    def _look_up_in_history(self, prompt_id: str, output_node: str) -> PromptStatus:
        # The queue first: a prompt only ever moves from there into the history.
        queue = self.queue()
        if prompt_id in queue.running:
            return PromptStatus(PromptState.RUNNING)
        if prompt_id in queue.pending:
            return PromptStatus(PromptState.PENDING)
        entry = self._get_json(f"/history/{quote(prompt_id, safe='')}").get(prompt_id)
        if not isinstance(entry, Mapping):
            return PromptStatus(PromptState.UNKNOWN)
        return read_history(entry, output_node)

    def _cancel_by_queue(self, prompt_id: str) -> bool:
        queue = self.queue()
        was_pending = prompt_id in queue.pending
        if was_pending:
            self._command("/queue", {"delete": [prompt_id]})
            queue = self.queue()
        is_running = prompt_id in queue.running
        if is_running:
            # Never without the id: an empty interrupt hits whatever runs.
            self._command("/interrupt", {"prompt_id": prompt_id})
        return was_pending or is_running

    def _cancel_quietly(self, prompt_id: str) -> None:
        with suppress(ComfyError):
            self.cancel(prompt_id)

    def _get_json(self, path: str, *, within: float = LONGEST_QUESTION) -> dict[str, Any]:
        answer = self._transport.request("GET", path, within=within)
        content = answer.json()
        if answer.status != 200 or content is None:
            raise UnexpectedAnswer(answer.describe())
        return content

    def _command(self, path: str, body: Mapping[str, Any]) -> None:
        answer = self._transport.request("POST", path, within=LONGEST_QUESTION, content=body)
        if answer.status != 200:
            raise UnexpectedAnswer(answer.describe())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _spoils(node_errors: Mapping[str, Any], output_node: str) -> bool:
    """Whether the errors of a partly accepted graph concern `output_node`."""
    return any(
        node_id == output_node or output_node in (_mapping(node).get("dependent_outputs") or ())
        for node_id, node in node_errors.items()
    )
