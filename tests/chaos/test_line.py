"""The line to a node does what the faults of chaos say, to a node that knows nothing of it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests
import websocket

from tests.chaos.line import Line
from tests.servers import SandboxServer
from tests.waiting import wait_until

GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}
PATIENCE = 30

pytestmark = pytest.mark.processes


@pytest.fixture
def line(sandbox: SandboxServer) -> Iterator[Line]:
    """A line to the sandbox."""
    line = Line()
    line.start(urlsplit(sandbox.url).port or 0)
    yield line
    line.stop()


def connected(line: Line) -> websocket.WebSocket:
    """Open a WebSocket and hear the first message."""
    address = f"ws{line.url.removeprefix('http')}/ws"
    socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
    assert '"status"' in str(socket.recv())
    return socket


def post(line: Line, session: requests.Session) -> str:
    """Submit a prompt and return its id."""
    answer = session.post(f"{line.url}/prompt", json={"prompt": GRAPH}, timeout=PATIENCE)
    return str(answer.json()["prompt_id"])


def test_websockets_break_and_are_refused_until_it_heals(line: Line) -> None:
    socket = connected(line)

    line.drop_websockets(600)

    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        list(iter(socket.recv, None))
    with pytest.raises((websocket.WebSocketException, ConnectionError)):
        connected(line)
    assert requests.get(f"{line.url}/queue", timeout=PATIENCE).ok, "the rest passes"
    line.heal()
    connected(line).close()


def test_a_short_refusal_does_not_end_a_longer_one(line: Line) -> None:
    assert line.is_whole
    line.drop_websockets(600)
    wait_until(lambda: not line.is_whole)

    line.drop_websockets(0)
    line.lose_answers(1)

    with requests.Session() as session, pytest.raises(requests.ConnectionError):
        post(line, session)
    assert not line.is_whole
    with pytest.raises((websocket.WebSocketException, ConnectionError)):
        connected(line)
    line.heal()
    wait_until(lambda: line.is_whole)


def test_so_many_answers_to_prompts_are_lost_and_the_prompts_are_not(
    line: Line, sandbox: SandboxServer
) -> None:
    with requests.Session() as session:
        seen = {post(line, session)}
        line.lose_answers(2)
        for _ in range(2):
            with pytest.raises(requests.ConnectionError):
                post(line, session)
        seen.add(post(line, session))

    def executed() -> set[str]:
        return set(requests.get(f"{sandbox.url}/history", timeout=PATIENCE).json())

    wait_until(lambda: len(executed()) == 4)
    assert seen < executed()


def test_a_node_that_is_down_answers_nobody_and_is_heard_again_once_it_is_back(
    line: Line, sandbox: SandboxServer
) -> None:
    sandbox.kill()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{line.url}/queue", timeout=PATIENCE)
    sandbox.restart()
    assert requests.get(f"{line.url}/queue", timeout=PATIENCE).ok


def test_when_it_stops_every_connection_breaks(line: Line) -> None:
    socket = connected(line)

    line.stop()

    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        list(iter(socket.recv, None))
