"""What the tests of the client and of the events share: a picture, a prompt, waiting."""

import io
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from PIL import Image

from jobs.comfy.answers import PromptState, PromptStatus
from jobs.comfy.client import ComfyClient
from jobs.comfy.template import Graph
from jobs.comfy.workflow import Workflow, WorkflowInputs

DEADLINE = 20.0


def picture(width: int = 96, height: int = 64, colour: str = "orange") -> bytes:
    """Return a PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def edit(
    client: ComfyClient,
    prompt_id: str,
    pictures: int = 1,
    workflow: str = "qwen_image_edit_2511",
    **changes: Any,
) -> Graph:
    """Upload pictures and build the prompt of an edit that a sandbox makes in no time."""
    references = [
        client.upload_image(picture(96 + 16 * n), f"{uuid4().hex}.png", "qwenedit") for n in range(pictures)
    ]
    values: dict[str, Any] = {
        "pictures": references,
        "prompt": "Make it black and white.",
        "seed": 1,
        "width": 96,
        "height": 64,
        "filename_prefix": f"qwenedit/{prompt_id}/r",
        "lightning": True,
    }
    return Workflow.load(workflow).build(WorkflowInputs(**(values | changes)))


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def wait_for(client: ComfyClient, prompt_id: str, *states: PromptState) -> PromptStatus:
    """Poll a prompt until it is in one of `states`; without any, until it has ended."""

    def arrived() -> bool:
        status = client.status(prompt_id)
        return status.state in states if states else status.state.is_final

    until(arrived, f"{prompt_id} to be {[state.value for state in states] or 'over'}")
    return client.status(prompt_id)
