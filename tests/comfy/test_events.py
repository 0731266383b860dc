"""Events: those of our prompt and no others, and a socket whose loss harms nobody."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import WSMsgType, web

from jobs.comfy import events as events_module
from jobs.comfy.answers import OutputImage, PromptState
from jobs.comfy.client import ComfyClient
from jobs.comfy.errors import OutOfMemory
from jobs.comfy.events import (
    Disconnected,
    Event,
    EventStream,
    Executed,
    Executing,
    Failed,
    Interrupted,
    Progress,
    ProgressMeter,
    Started,
    Status,
    Success,
    read_event,
)
from tests.comfy.edits import DEADLINE, edit, wait_for
from tests.comfy.scripted import Reply, ScriptedServer, ScriptedSocketServer
from tests.servers import SandboxServer, start_sandbox_comfyui


@pytest.fixture
def prompt_id() -> str:
    return str(uuid4())


def stream_from(url: str, prompt_id: str = "p", client_id: str = "c") -> EventStream:
    """Return a stream with time enough for the handshake of a busy machine."""
    return EventStream(url, client_id, prompt_id, connect_timeout=DEADLINE)


@pytest.fixture
def stream(sandbox: SandboxServer, prompt_id: str) -> Iterator[EventStream]:
    with stream_from(sandbox.url, prompt_id, uuid4().hex) as one:
        yield one


def follow(stream: EventStream, *last: type) -> list[Event]:
    """Collect events up to one of the types `last`."""
    seen: list[Event] = []
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        event = stream.next(timeout=0.5)
        if event is not None:
            seen.append(event)
            if isinstance(event, last):
                return seen
    raise AssertionError(f"none of {last} came, but {seen}")


# ── With a server ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.processes
def test_an_edit_is_followed_from_start_to_success(
    client: ComfyClient, stream: EventStream, prompt_id: str
) -> None:
    client.submit(edit(client, prompt_id), prompt_id, stream.client_id)
    events = [event for event in follow(stream, Success) if not isinstance(event, Status)]
    assert events[0] == Started(prompt_id)
    assert [event.value for event in events if isinstance(event, Progress)] == [1, 2, 3, 4]
    [executed] = [event for event in events if isinstance(event, Executed)]
    assert executed.node == "save"
    assert executed.images == wait_for(client, prompt_id).outputs
    assert events[-1] == Success(prompt_id)


@pytest.mark.processes
def test_progress_goes_from_nothing_to_a_hundred_and_never_back(
    client: ComfyClient, stream: EventStream, prompt_id: str
) -> None:
    client.submit(edit(client, prompt_id), prompt_id, stream.client_id)
    meter = ProgressMeter("sampler")
    readings = [meter.feed(event) for event in follow(stream, Success)]
    assert readings == sorted(readings)
    assert readings[-1] == 100
    assert {5, 27, 50, 73, 95} <= set(readings)


@pytest.mark.processes
def test_nobody_elses_events_are_told(client: ComfyClient, stream: EventStream, prompt_id: str) -> None:
    other, anonymous = str(uuid4()), str(uuid4())
    client.submit(edit(client, other), other, "somebody else")
    client.submit(edit(client, anonymous), anonymous, "")
    client.submit(edit(client, prompt_id), prompt_id, stream.client_id)
    events = [event for event in follow(stream, Success) if not isinstance(event, Status)]
    assert events[-1] == Success(prompt_id)
    assert {getattr(event, "prompt_id", None) for event in events} == {prompt_id}


@pytest.mark.processes
def test_a_failure_comes_with_its_typed_error(
    client: ComfyClient, sandbox: SandboxServer, stream: EventStream, prompt_id: str
) -> None:
    sandbox.control(out_of_memory=1)
    client.submit(edit(client, prompt_id), prompt_id, stream.client_id)
    failed = follow(stream, Failed)[-1]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, OutOfMemory)


@pytest.mark.processes
def test_an_interruption_is_told(
    client: ComfyClient, sandbox: SandboxServer, stream: EventStream, prompt_id: str
) -> None:
    sandbox.control(seconds_per_step=0.1)
    client.submit(edit(client, prompt_id, steps=1000), prompt_id, stream.client_id)
    follow(stream, Executing)
    wait_for(client, prompt_id, PromptState.RUNNING)
    client.cancel(prompt_id)
    assert follow(stream, Interrupted)[-1] == Interrupted(prompt_id)


@pytest.mark.processes
def test_a_node_that_demands_a_password_gets_it_for_events_too(prompt_id: str) -> None:
    with start_sandbox_comfyui("--user", "gpu", "--password", "s3cret") as server:
        url = server.url.replace("http://", "http://gpu:s3cret@")
        client = ComfyClient(url)
        with stream_from(url, prompt_id, uuid4().hex) as stream:
            assert stream.is_connected
            client.submit(edit(client, prompt_id), prompt_id, stream.client_id)
            assert follow(stream, Success)[-1] == Success(prompt_id)
        client.close()
        with stream_from(server.url, prompt_id, uuid4().hex) as stranger:
            assert not stranger.is_connected
            lost = stranger.next(timeout=0.1)
            assert isinstance(lost, Disconnected)
            assert "401" in lost.reason


@pytest.mark.processes
def test_a_broken_socket_is_told_once_and_the_poll_finishes_the_job(
    client: ComfyClient, sandbox: SandboxServer, stream: EventStream, prompt_id: str
) -> None:
    sandbox.control(cut_websockets=1, seconds_per_step=0.1)
    client.submit(edit(client, prompt_id), prompt_id, stream.client_id)
    assert isinstance(follow(stream, Disconnected, Success)[-1], Disconnected)
    assert not stream.is_connected
    assert stream.next(timeout=0.01) is None
    assert wait_for(client, prompt_id).state is PromptState.COMPLETED


@pytest.mark.processes
def test_after_a_reconnection_the_events_of_the_prompt_go_on(
    client: ComfyClient, sandbox: SandboxServer, stream: EventStream, prompt_id: str
) -> None:
    # The first prompt makes the socket old enough to be worth another, and keeps ours from running.
    before = str(uuid4())
    sandbox.control(seconds_per_step=0.4)
    client.submit(edit(client, before), before, "somebody else")
    client.submit(edit(client, prompt_id, steps=1000), prompt_id, stream.client_id)
    wait_for(client, before)
    sandbox.control(drop_websockets=True)
    assert isinstance(follow(stream, Disconnected)[-1], Disconnected)
    assert stream.reconnect()
    follow(stream, Progress)
    sandbox.control(seconds_per_step=0)
    assert follow(stream, Success)[-1] == Success(prompt_id)


# ── With scripts ───────────────────────────────────────────────────────────────────────────────


def message(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


async def stay(request: web.Request, sock: web.WebSocketResponse) -> None:
    """Send nothing until the client goes."""
    await sock.receive()


def test_a_socket_is_opened_below_the_prefix_with_the_client_id_and_without_an_origin() -> None:
    with (
        ScriptedSocketServer(stay) as server,
        stream_from(server.url + "/prefix/", client_id="id 1&2") as stream,
    ):
        assert stream.is_connected
    [handshake] = server.handshakes
    assert handshake.path == "/prefix/ws"
    assert handshake.query["clientId"] == "id 1&2"
    assert "Origin" not in handshake.headers


def test_the_proxy_of_the_environment_is_not_asked_for_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with ScriptedSocketServer(stay) as server, stream_from(server.url) as stream:
        assert stream.is_connected


def test_previews_broadcasts_and_nonsense_are_passed_over(prompt_id: str) -> None:
    async def chatter(request: web.Request, sock: web.WebSocketResponse) -> None:
        await sock.send_bytes(b"\x00\x00\x00\x01\x00\x00\x00\x01" + bytes(200_000))
        await sock.send_str(message("execution_interrupted", prompt_id="of another user"))
        await sock.send_str(message("progress", prompt_id="of another user", node="sampler", value=1, max=4))
        await sock.send_str(message("progress_state", prompt_id=prompt_id, nodes={}))
        await sock.send_str(message("feature_flags", x=1))
        await sock.send_str("{not json")
        await sock.send_frame(b'{"type": "\xff"}', WSMsgType.TEXT)
        await sock.send_str("[]")
        await sock.send_str(message("executed", prompt_id=prompt_id, node="save", output={"images": [{}]}))
        await sock.ping()
        await sock.send_str(message("progress", prompt_id=prompt_id, node="sampler", value=1, max=4))
        await sock.receive()

    with ScriptedSocketServer(chatter) as server, stream_from(server.url, prompt_id) as stream:
        assert stream.next(timeout=DEADLINE) == Progress(prompt_id, "sampler", 1, 4)


def test_a_silent_stream_takes_its_time_and_no_longer() -> None:
    with ScriptedSocketServer(stay) as server, stream_from(server.url) as stream:
        began = time.monotonic()
        assert stream.next(timeout=0.2) is None
        assert 0.15 < time.monotonic() - began < 10
        assert stream.next(timeout=0) is None
        assert stream.is_connected


def test_a_stream_of_useless_messages_takes_its_time_and_no_longer() -> None:
    async def flood(request: web.Request, sock: web.WebSocketResponse) -> None:
        try:
            while True:
                await sock.send_str(message("progress_state", prompt_id="other", nodes={}))
                await asyncio.sleep(0.005)
        except ConnectionError:
            pass

    with ScriptedSocketServer(flood) as server, stream_from(server.url) as stream:
        began = time.monotonic()
        assert stream.next(timeout=0.2) is None
        assert time.monotonic() - began < 10


def test_what_arrived_is_told_even_when_there_is_no_time_to_wait(prompt_id: str) -> None:
    async def start(request: web.Request, sock: web.WebSocketResponse) -> None:
        await sock.send_str(message("execution_start", prompt_id=prompt_id))
        await sock.receive()

    with ScriptedSocketServer(start) as server, stream_from(server.url, prompt_id) as stream:
        deadline = time.monotonic() + DEADLINE
        event = None
        while event is None and time.monotonic() < deadline:
            event = stream.next(timeout=0)
        assert event == Started(prompt_id)


def test_a_node_that_refuses_the_socket_is_a_stream_that_stays_silent() -> None:
    with EventStream("http://127.0.0.1:1", "c", "p", connect_timeout=0.5) as stream:
        assert not stream.is_connected
        assert isinstance(stream.next(timeout=5), Disconnected)
        assert not stream.reconnect()
        began = time.monotonic()
        assert stream.next(timeout=0.2) is None
        assert time.monotonic() - began > 0.15


def test_a_node_that_does_not_answer_the_handshake_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}"
        with EventStream(url, "c", "p", connect_timeout=3) as stream:  # longer than without
            lost = stream.next(timeout=1)
        assert isinstance(lost, Disconnected)
        assert "secret" not in lost.reason
        assert 2.9 < time.monotonic() - began < 20


def test_a_redirect_does_not_carry_the_password_elsewhere(scripted: ScriptedServer) -> None:
    with ScriptedSocketServer(stay) as elsewhere:
        scripted.answers["GET", "/ws"] = Reply(302, headers={"Location": f"ws{elsewhere.url[4:]}/ws"})
        with stream_from(scripted.url.replace("//", "//user:secret@")) as stream:
            assert not stream.is_connected
            assert isinstance(stream.next(timeout=1), Disconnected)
        assert "Authorization" in scripted.requests[0].headers
        assert elsewhere.handshakes == []


def old_enough(stream: EventStream) -> None:
    """Let the socket live for as long as one must that is worth another."""
    deadline = time.monotonic() + 1.05
    while (left := deadline - time.monotonic()) > 0:
        stream.next(timeout=left)


def test_a_socket_the_server_closed_is_replaced_under_the_same_id(prompt_id: str) -> None:
    async def goodbye(request: web.Request, sock: web.WebSocketResponse) -> None:
        await asyncio.sleep(3)
        await sock.close()

    async def welcome(request: web.Request, sock: web.WebSocketResponse) -> None:
        await sock.send_str(message("executing", node="sampler"))
        await sock.receive()

    with ScriptedSocketServer(goodbye, welcome) as server, stream_from(server.url, prompt_id) as stream:
        assert isinstance(stream.next(timeout=DEADLINE), Disconnected)
        assert stream.reconnect()
        # The server tells a returning client what runs, without an id.
        assert stream.next(timeout=DEADLINE) == Executing(prompt_id, "sampler")
    assert [handshake.query["clientId"] for handshake in server.handshakes] == ["c", "c"]


def test_an_open_socket_is_closed_on_both_sides_before_its_id_is_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events_module, "CLOSE_TIMEOUT_SECONDS", DEADLINE)
    with ScriptedSocketServer(stay) as server, stream_from(server.url) as stream:
        old_enough(stream)
        assert stream.reconnect()
        assert len(server.handshakes) == 2


def test_an_id_is_not_used_again_while_the_server_may_still_hold_the_old_socket() -> None:
    async def deaf(request: web.Request, sock: web.WebSocketResponse) -> None:
        await asyncio.sleep(30)

    with ScriptedSocketServer(deaf) as server, stream_from(server.url) as stream:
        old_enough(stream)
        assert not stream.reconnect()
        assert stream.next(timeout=0.01) is None
        assert not stream.reconnect()
        assert len(server.handshakes) == 1


def test_a_socket_that_breaks_at_once_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "SHORTEST_CONNECTION_SECONDS", 60)

    async def slam(request: web.Request, sock: web.WebSocketResponse) -> None:
        await sock.close()

    with ScriptedSocketServer(slam) as server, stream_from(server.url) as stream:
        assert isinstance(stream.next(timeout=DEADLINE), Disconnected)
        assert not stream.reconnect()
        assert stream.next(timeout=0.01) is None
        assert len(server.handshakes) == 1


# ── Reading ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("execution_start", {}, Started("p")),
        ("executing", {"node": "sampler", "display_node": "sampler"}, Executing("p", "sampler")),
        ("executing", {"node": None}, Executing("p", None)),
        ("progress", {"value": 3, "max": 40, "node": "sampler"}, Progress("p", "sampler", 3, 40)),
        (
            "executed",
            {"node": "save", "output": {"images": [{"filename": "r", "subfolder": "s", "type": "output"}]}},
            Executed("p", "save", (OutputImage("r", "s", "output"),)),
        ),
        ("executed", {"node": "text", "output": None}, Executed("p", "text", ())),
        ("execution_success", {}, Success("p")),
        ("execution_interrupted", {"node_id": "sampler"}, Interrupted("p")),
        ("execution_cached", {"nodes": []}, None),
    ],
)
def test_each_message_becomes_its_event(kind: str, data: dict[str, Any], expected: Event | None) -> None:
    assert read_event(message(kind, prompt_id="p", **data), "p") == expected
    assert read_event(message(kind, prompt_id="q", **data), "p") is None


def test_the_length_of_the_queue_is_everybodys() -> None:
    text = message("status", status={"exec_info": {"queue_remaining": 3}}, sid="x")
    assert read_event(text, "p") == Status(3)


# ── Progress ───────────────────────────────────────────────────────────────────────────────────


def test_the_samplers_steps_fill_most_of_the_way() -> None:
    meter = ProgressMeter("sampler")
    told = [Started("p"), Executing("p", "vae"), Executing("p", "sampler")]
    told += [Progress("p", "sampler", step, 4) for step in range(1, 5)]
    told += [Executing("p", "decode"), Executing("p", "save"), Executing("p", None), Success("p")]
    assert [meter.feed(event) for event in told] == [1, 1, 5, 27, 50, 73, 95, 95, 95, 95, 100]


def test_another_nodes_progress_and_odd_numbers_do_not_move_it_back_or_beyond() -> None:
    meter = ProgressMeter("sampler")
    meter.feed(Progress("p", "sampler", 2, 4))
    assert meter.feed(Progress("p", "decode", 1, 9)) == 50
    assert meter.feed(Progress("p", "sampler", 1, 4)) == 50
    assert meter.feed(Progress("p", "sampler", 1, 0)) == 50
    assert meter.feed(Progress("p", "sampler", 9, 4)) == 95
