"""The floor: a client that talks to ComfyUI itself and keeps nothing.

Uploads, posts the prompt, waits on the WebSocket, fetches the picture: the least that anybody has to do for
an edit, over connections that stay open. The prompt is the one that the system would post.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import websocket

from bench.plain_http import PlainHttp, form
from jobs.comfy.workflow import Workflow, WorkflowInputs

WORKFLOW = "qwen_image_edit_2511"
STEPS = '{"type": "progress'  # how messages begin that tell of steps: most of them, and of no use here


class DirectClient:
    """One client of the ComfyUI at `url`, for one thread and the length of a `with` block."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url).netloc
        self._client_id = uuid.uuid4().hex
        self._http = PlainHttp(url)
        self._events = websocket.create_connection(
            f"ws://{address}/ws?clientId={self._client_id}",
            timeout=60,
            skip_utf8_validation=True,  # as the system does: json.loads looks at every byte anyway
        )
        self._workflow = Workflow.load(WORKFLOW)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._events.close()
        self._http.close()

    def edit(self, photo: bytes) -> bytes:
        """Have a photo edited and return the result."""
        prompt_id = str(uuid.uuid4())
        graph = self._workflow.build(
            WorkflowInputs(
                pictures=[self._upload(photo)],
                prompt="make it an ink drawing",
                seed=secrets.randbits(53),
                width=1024,
                height=1024,
                lightning=True,
                filename_prefix=f"direct/{prompt_id}/r",
            )
        )
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self._client_id}
        self._http.ask("POST", "/prompt", json.dumps(body).encode(), "application/json")
        return self._http.ask("GET", f"/view?{urlencode(self._wait(prompt_id))}")

    def _upload(self, photo: bytes) -> str:
        answer = self._http.ask("POST", "/upload/image", *form(photo, name=f"{secrets.token_hex(8)}.jpg"))
        return str(json.loads(answer)["name"])

    def _wait(self, prompt_id: str) -> dict[str, Any]:
        """Return the result's name once the prompt has succeeded."""
        picture: dict[str, Any] = {}
        while True:
            message = self._events.recv()
            if isinstance(message, bytes) or message.startswith(STEPS):
                continue
            event = json.loads(message)
            if event["data"].get("prompt_id") != prompt_id:
                continue
            if event["type"] == "executed":
                [picture] = event["data"]["output"]["images"]
            elif event["type"] == "execution_success":
                return picture
            elif event["type"] in ("execution_error", "execution_interrupted"):
                raise RuntimeError(message)


def edit_one_by_one(url: str, photo: bytes, count: int) -> list[float]:
    """Return how many milliseconds each of `count` edits took, one after another."""
    with DirectClient(url) as client:
        client.edit(photo)  # connections, imports
        times = []
        for _ in range(count):
            started = time.perf_counter()
            client.edit(photo)
            times.append(1000 * (time.perf_counter() - started))
    return times


def edits_per_second(url: str, photo: bytes, count: int, *, clients: int) -> float:
    """Return the rate of `clients` clients at once, each with its share of `count` edits."""

    def work(client: DirectClient) -> None:
        for _ in range(count // clients):
            client.edit(photo)

    with ThreadPoolExecutor(clients) as pool:
        connected = list(pool.map(lambda _: DirectClient(url), range(clients)))
        started = time.perf_counter()
        list(pool.map(work, connected))
        seconds = time.perf_counter() - started
        for client in connected:
            client.__exit__()
    return count // clients * clients / seconds
