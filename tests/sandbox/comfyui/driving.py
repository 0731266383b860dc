"""What the tests say to a sandbox: graphs, pictures, and a client that posts and listens."""

import io
import json
import random
import time
import uuid
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import requests
import websocket
from PIL import Image

from qwenedit.sandbox.comfyui.execution import Executor, Options
from qwenedit.sandbox.comfyui.faults import Faults, Settings
from qwenedit.sandbox.comfyui.files import Folders
from qwenedit.sandbox.comfyui.models import ModelFiles
from qwenedit.sandbox.comfyui.reports import Messenger
from qwenedit.sandbox.comfyui.schema import Resources
from tests.servers import SandboxServer

DEADLINE = 20.0
MODEL = "qwen_image_edit_2511_fp8mixed.safetensors"
LORA = "Qwen-Image-Edit-2511-Lightning-4steps-V1.0-bf16.safetensors"

Graph = dict[str, dict[str, Any]]


def png(size: tuple[int, int] = (96, 64), seed: int = 1) -> bytes:
    """A picture of soft random colours."""
    noise = Image.frombytes("RGB", (8, 6), random.Random(seed).randbytes(8 * 6 * 3))
    buffer = io.BytesIO()
    noise.resize(size, Image.Resampling.BICUBIC).save(buffer, format="PNG")
    return buffer.getvalue()


def picture(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def basic_graph(
    *, image: str = "basic.png", prefix: str = "jobs/basic", width: Any = 128, method: str = "lanczos"
) -> Graph:
    """Load, scale, invert, save: the graph of most recorded answers."""
    scale = node("ImageScale", image=["1", 0], upscale_method=method, width=width, height=128, crop="center")
    return {
        "1": node("LoadImage", image=image),
        "2": scale,
        "3": node("ImageInvert", image=["2", 0]),
        "9": node("SaveImage", images=["3", 0], filename_prefix=prefix),
    }


def slow_graph(*, steps: int = 40, seed: int = 1, prefix: str = "jobs/slow") -> Graph:
    """The sampler alone between an empty latent and a saved picture."""
    return {
        "model": node("UNETLoader", unet_name=MODEL, weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="qwen_2.5_vl_7b_fp8_scaled.safetensors", type="qwen_image"),
        "vae": node("VAELoader", vae_name="qwen_image_vae.safetensors"),
        "text": node("TextEncodeQwenImageEditPlus", clip=["clip", 0], prompt=""),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "sampler": sampler("model", "text", "text", "latent", seed=seed, steps=steps),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["vae", 0]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix=prefix),
    }


def sampler(
    model: str, positive: str, negative: str, latent: str, *, seed: int, steps: int
) -> dict[str, Any]:
    return node(
        "KSampler",
        model=[model, 0],
        positive=[positive, 0],
        negative=[negative, 0],
        latent_image=[latent, 0],
        seed=seed,
        steps=steps,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )


def edit_graph(
    *images: str,
    wish: str = "Make the sky purple.",
    seed: int = 1,
    steps: int = 40,
    lightning: bool = False,
    prefix: str = "edit/result",
) -> Graph:
    """The Qwen-Image-Edit-2511 prompt for one to three pictures, with and without the 4-step LoRA."""
    model = "lora" if lightning else "cfgnorm"
    references = {"image1": ["scale1", 0]} | {
        f"image{n}": [f"image{n}", 0] for n in range(2, len(images) + 1)
    }
    text = {"clip": ["clip", 0], "vae": ["vae", 0]}
    method = {"reference_latents_method": "index_timestep_zero"}
    graph = {
        "unet": node("UNETLoader", unet_name=MODEL, weight_dtype="default"),
        "clip": node(
            "CLIPLoader",
            clip_name="qwen_2.5_vl_7b_fp8_scaled.safetensors",
            type="qwen_image",
            device="default",
        ),
        "vae": node("VAELoader", vae_name="qwen_image_vae.safetensors"),
        "shift": node("ModelSamplingAuraFlow", model=["unet", 0], shift=3.1),
        "cfgnorm": node("CFGNorm", model=["shift", 0], strength=1.0),
        "lora": node("LoraLoaderModelOnly", model=["cfgnorm", 0], lora_name=LORA, strength_model=1.0),
    }
    if not lightning:
        del graph["lora"]
    graph |= {f"image{number}": node("LoadImage", image=name) for number, name in enumerate(images, start=1)}
    graph |= {
        "scale1": node("FluxKontextImageScale", image=["image1", 0]),
        "positive": node("TextEncodeQwenImageEditPlus", **text, prompt=wish, **references),
        "positive_ref": node("FluxKontextMultiReferenceLatentMethod", conditioning=["positive", 0], **method),
        "negative": node("TextEncodeQwenImageEditPlus", **text, prompt="", **references),
        "negative_ref": node("FluxKontextMultiReferenceLatentMethod", conditioning=["negative", 0], **method),
        "latent": node("VAEEncode", pixels=["scale1", 0], vae=["vae", 0]),
        "sampler": sampler(
            model, "positive_ref", "negative_ref", "latent", seed=seed, steps=4 if lightning else steps
        ),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["vae", 0]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix=prefix),
    }
    return graph


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Ask again until there is an answer that counts."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {DEADLINE:g} s")


def closed_without_goodbye(socket: websocket.WebSocket) -> bool:
    """Read until the connection ends; whether it broke, without a closing handshake (code 1006)."""
    try:
        while socket.recv():
            pass
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        return True
    finally:
        socket.shutdown()
    return False


def executor_in(folders: Folders, **faults: Any) -> Executor:
    """An executor in this process, heard by nobody: for what happens at a moment that no request can hit."""
    resources = Resources(folders, ModelFiles((), lambda name: False))
    return Executor(resources, Faults(Settings(**faults)), Options(), Mock(spec=Messenger))


class Client:
    """A ComfyUI client with one WebSocket, or with none."""

    def __init__(self, server: SandboxServer, *, connect: bool = True) -> None:
        self.url = server.url
        self.auth = server.auth
        self.client_id = str(uuid.uuid4())
        self.socket = self.connect() if connect else None

    def connect(self, client_id: str | None = None) -> websocket.WebSocket:
        """Open a WebSocket, read its greeting and return it."""
        address = self.url.replace("http", "ws", 1) + f"/ws?clientId={client_id or self.client_id}"
        socket = websocket.create_connection(address, timeout=DEADLINE)
        greeting = json.loads(socket.recv())
        assert greeting["type"] == "status"
        assert greeting["data"]["sid"] == (client_id or self.client_id)
        return socket

    def reconnect(self) -> None:
        """Close the WebSocket if it is still open, and open another one."""
        self.close()
        self.socket = self.connect()

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, auth=self.auth, timeout=DEADLINE, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, auth=self.auth, timeout=DEADLINE, **options)

    def upload(self, name: str = "basic.png", data: bytes | None = None, **fields: str) -> requests.Response:
        return self.post(
            "/upload/image", files={"image": (name, png() if data is None else data)}, data=fields
        )

    def prompt(self, graph: Any, **more: Any) -> requests.Response:
        return self.post("/prompt", json={"prompt": graph, "client_id": self.client_id} | more)

    def submit(self, graph: Graph, **more: Any) -> str:
        """Post a prompt that must be accepted whole, and return its id."""
        answer = self.prompt(graph, **more)
        assert answer.status_code == 200, answer.text
        assert answer.json()["node_errors"] == {}
        return str(answer.json()["prompt_id"])

    def messages(self) -> list[dict[str, Any]]:
        """Read messages up to the one that ends a prompt."""
        assert self.socket is not None
        read: list[dict[str, Any]] = []
        while not read or read[-1]["type"] != "executing" or read[-1]["data"]["node"] is not None:
            data = self.socket.recv()
            assert data, "the socket was closed"
            if isinstance(data, str):
                read.append(json.loads(data))
        return read

    def hear(self, kind: str) -> dict[str, Any]:
        """Read messages up to the next one of a type, and return it."""
        assert self.socket is not None
        message: dict[str, Any] = {"type": None}
        while message["type"] != kind:
            message = json.loads(self.socket.recv())
        return message

    def run(self, graph: Graph, **more: Any) -> "Finished":
        """Post a prompt and follow it to its end."""
        prompt_id = self.submit(graph, **more)
        return Finished(self, prompt_id, self.messages())

    def job(self, prompt_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.get(f"/api/jobs/{prompt_id}").json()
        return answer

    def wait_for_status(self, prompt_id: str, status: str) -> dict[str, Any]:
        wait_for(lambda: self.job(prompt_id).get("status") == status, f"{prompt_id} {status}")
        return self.job(prompt_id)

    def close(self) -> None:
        if self.socket is not None:
            # A socket of this id that the server closes later than the next one opens makes that one deaf.
            self.socket.close(timeout=DEADLINE)
            self.socket.shutdown()  # after a broken connection close() alone leaves the socket open


class Finished:
    """A prompt that is over: its messages, history and results."""

    def __init__(self, client: Client, prompt_id: str, messages: list[dict[str, Any]]) -> None:
        self.client = client
        self.prompt_id = prompt_id
        self.messages = messages

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.messages if message["type"] == kind]

    @property
    def cached(self) -> list[str]:
        nodes: list[str] = self.of_type("execution_cached")[0]["nodes"]
        return nodes

    @property
    def executed(self) -> list[str]:
        return [data["node"] for data in self.of_type("executing")]

    @property
    def error(self) -> dict[str, Any]:
        return self.of_type("execution_error")[0]

    @property
    def history(self) -> dict[str, Any]:
        entry: dict[str, Any] = self.client.get(f"/history/{self.prompt_id}").json()[self.prompt_id]
        return entry

    @property
    def files(self) -> list[dict[str, str]]:
        return [file for shown in self.history["outputs"].values() for file in shown["images"]]

    def results(self) -> list[bytes]:
        answers = [self.client.get("/view", params=file) for file in self.files]
        assert all(answer.status_code == 200 for answer in answers)
        return [answer.content for answer in answers]

    def picture(self) -> Image.Image:
        return picture(self.results()[0])
