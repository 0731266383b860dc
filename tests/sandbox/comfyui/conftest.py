"""A sandbox ComfyUI per module, restarted and without faults for every test; alice is its client."""

from collections.abc import Iterator

import pytest

from tests.sandbox.comfyui.driving import Client
from tests.servers import SandboxServer, start_sandbox_comfyui


@pytest.fixture(scope="module")
def running_server() -> Iterator[SandboxServer]:
    with start_sandbox_comfyui() as server:
        yield server


@pytest.fixture
def server(running_server: SandboxServer) -> SandboxServer:
    running_server.control(reset=True, restart=True)
    return running_server


@pytest.fixture
def alice(server: SandboxServer) -> Iterator[Client]:
    client = Client(server)
    client.upload(overwrite="true")
    yield client
    client.close()
