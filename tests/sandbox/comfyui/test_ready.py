"""With a ready picture, every prompt ends in that picture, and a step still takes its time."""

import io
import time
from pathlib import Path

from PIL import Image

from bench.direct import DirectClient
from tests.servers import start_sandbox_comfyui


def test_every_edit_ends_in_the_ready_picture_after_the_time_of_its_steps(tmp_path: Path) -> None:
    ready = tmp_path / "ready.png"
    Image.new("RGB", (16, 16), "teal").save(ready)
    photo = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(photo, "JPEG")
    with (
        start_sandbox_comfyui("--ready", str(ready), "--seconds-per-step", "0.1") as server,
        DirectClient(server.url) as client,
    ):
        started = time.monotonic()
        results = [client.edit(photo.getvalue()) for _ in range(2)]
        seconds = time.monotonic() - started
    assert results == [ready.read_bytes()] * 2
    assert seconds >= 0.8  # four steps, twice
