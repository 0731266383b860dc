"""A sandbox ComfyUI, as the real process, and its node."""

from collections.abc import Iterator

import pytest

from jobs.comfy.client import ComfyClient
from jobs.models import Node
from tests.factories import NodeFactory
from tests.servers import SandboxServer, start_sandbox_comfyui


@pytest.fixture(scope="session")
def _session_sandbox() -> Iterator[SandboxServer]:
    with start_sandbox_comfyui() as server:
        yield server


@pytest.fixture
def sandbox(_session_sandbox: SandboxServer) -> SandboxServer:
    """A sandbox ComfyUI without faults, with an empty queue and history."""
    if _session_sandbox.process is None or _session_sandbox.process.poll() is not None:
        _session_sandbox.restart()  # a test before this one made it die
    _session_sandbox.control(reset=True, restart=True)
    return _session_sandbox


@pytest.fixture
def node(db: None, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Node:
    """The node of the sandbox; a machine that stands still for seconds does not make it a silent one."""
    assert ComfyClient.system_stats.__kwdefaults__ == {"timeout": 2.0}
    monkeypatch.setattr(ComfyClient.system_stats, "__kwdefaults__", {"timeout": 10.0})
    return NodeFactory.create(name="sandbox", url=sandbox.url)
