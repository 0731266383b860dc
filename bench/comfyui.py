"""The node of a row: a stand-in that computes nothing, or a ComfyUI of whoever measures.

Owns starting and stopping it, with folders of its own. Which of the two it is says the environment, as every
row is a process of its own.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from bench.pictures import picture
from bench.report import COMFYUI
from bench.stopping import end
from bench.system import free_port, wait_until
from tests.servers import start_sandbox_comfyui

STEPS = 4  # of the workflow's lightning variant, which is the default
START_TIMEOUT = 120.0  # a real one imports torch first


@contextmanager
def costless_comfyui(*, seconds: float = 0.0, result: bytes | None = None) -> Iterator[str]:
    """Run a ComfyUI whose edits take `seconds` and end in the same picture; yield its address.

    One that is given by its command takes and makes what it does; the benchmark ends where it does not start.
    """
    # A new folder and two new files per edit: on a disk they would cost more than all the rest of the node.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - the folder in it is our own
    with tempfile.TemporaryDirectory(prefix="qwenedit-bench-", dir=memory) as name:
        if command := os.environ.get(COMFYUI):
            with _running(command, Path(name), seconds) as url:
                yield url
            return
        ready = Path(name) / "ready.png"
        ready.write_bytes(result or picture("PNG"))
        speed = ("--seconds-per-step", str(seconds / STEPS))
        with start_sandbox_comfyui(*speed, "--ready", str(ready), "--data-dir", name) as server:
            yield server.url


@contextmanager
def _running(command: str, folder: Path, seconds: float) -> Iterator[str]:
    port = free_port()
    words = [word.format(port=port, folder=folder, seconds=seconds) for word in shlex.split(command)]
    # A group of its own, as all that a benchmark starts; what it prints is not the benchmark's.
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, process_group=0)  # noqa: S603
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(
            lambda: process.poll() is not None or requests.get(f"{url}/system_stats", timeout=5).ok,
            seconds=START_TIMEOUT,
            what=shlex.join(words),
        )
        if process.poll() is not None:
            raise SystemExit(f"{shlex.join(words)} ended with {process.returncode}")
        yield url
    finally:
        end([process])
