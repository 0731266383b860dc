"""A sandbox ComfyUI for each module, put back to its defaults for each test, and scripted servers."""

from collections.abc import Iterator

import pytest

from jobs.comfy.client import ComfyClient
from tests.comfy.scripted import ScriptedServer
from tests.servers import SandboxServer, start_sandbox_comfyui


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[SandboxServer]:
    with start_sandbox_comfyui() as server:
        yield server


@pytest.fixture
def sandbox(running_sandbox: SandboxServer) -> SandboxServer:
    running_sandbox.control(reset=True, restart=True)
    return running_sandbox


@pytest.fixture
def client(sandbox: SandboxServer) -> Iterator[ComfyClient]:
    one = ComfyClient(sandbox.url)
    yield one
    one.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server
