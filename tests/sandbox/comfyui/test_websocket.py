"""Who hears what, and when."""

import json
from typing import Any

import pytest
import requests
import websocket

from tests.sandbox.comfyui.driving import Client, basic_graph, slow_graph
from tests.servers import SandboxServer


def heard(socket: websocket.WebSocket, until_remaining: int = 0) -> list[dict[str, Any]]:
    """Read messages up to the status that says so many prompts remain."""
    read = []
    while True:
        read.append(json.loads(socket.recv()))
        if read[-1]["type"] == "status":
            remaining = read[-1]["data"]["status"]["exec_info"]["queue_remaining"]
            if remaining == until_remaining:
                return read


def test_messages_of_a_prompt_go_to_its_client_and_the_status_to_all(
    alice: Client, server: SandboxServer
) -> None:
    bob = Client(server)
    assert bob.socket is not None
    run = alice.run(basic_graph())
    assert "executed" in run.types
    assert [message["type"] for message in heard(bob.socket)] == ["status", "status", "status"]
    bob.close()


def test_without_a_client_progress_goes_to_all_and_the_rest_to_nobody(alice: Client) -> None:
    assert alice.socket is not None
    assert alice.post("/prompt", json={"prompt": basic_graph()}).status_code == 200
    types = {message["type"] for message in heard(alice.socket)}
    assert types == {"status", "progress_state"}


def test_a_socket_without_a_client_id_gets_one(server: SandboxServer) -> None:
    socket = websocket.create_connection(server.url.replace("http", "ws") + "/ws", timeout=10)
    greeting = json.loads(socket.recv())
    assert len(greeting["data"]["sid"]) == 32
    socket.close()


def test_feature_flags_are_answered_with_the_servers_own(alice: Client) -> None:
    assert alice.socket is not None
    alice.socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
    answer = json.loads(alice.socket.recv())
    assert answer == {"type": "feature_flags", "data": alice.get("/features").json()}


def test_who_reconnects_in_the_middle_is_told_the_node_and_hears_the_rest(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"seconds_per_step": 0.05})
    prompt_id = alice.submit(slow_graph(steps=1000))
    alice.hear("progress")
    alice.reconnect()
    assert alice.socket is not None
    assert json.loads(alice.socket.recv()) == {"type": "executing", "data": {"node": "sampler"}}
    alice.post("/sandbox/faults", json={"seconds_per_step": 0})
    types = [message["type"] for message in alice.messages()]
    assert "progress" in types
    assert types[-3:] == ["execution_success", "status", "executing"]
    assert alice.job(prompt_id)["status"] == "completed"


def test_a_reused_client_id_goes_deaf_when_the_older_socket_closes(
    alice: Client, server: SandboxServer
) -> None:
    bob = Client(server)
    old = alice.socket
    assert old is not None
    alice.socket = alice.connect()
    old.close()
    assert bob.socket is not None
    bob.run(basic_graph(prefix="deaf/bob"))
    prompt_id = alice.submit(basic_graph(prefix="deaf/alice"))
    heard(bob.socket)
    assert alice.job(prompt_id)["status"] in ("in_progress", "completed")
    alice.socket.settimeout(0.3)
    with pytest.raises(websocket.WebSocketTimeoutException):
        alice.socket.recv()
    bob.close()


def test_a_client_id_that_is_no_key_ends_the_server() -> None:
    with SandboxServer("comfyui", "--seconds-per-step", "0") as server:
        client = Client(server, connect=False)
        client.upload()
        answer = client.post("/prompt", json={"prompt": basic_graph(), "client_id": {"a": 1}})
        assert answer.status_code == 200
        assert server.wait(10) != 0
        with pytest.raises(requests.ConnectionError):
            client.get("/system_stats")
