"""A WebSocket that serves one edit after another, and never one that may be lost, deaf or somebody else's."""

import json
import time
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from jobs.comfy import events
from jobs.comfy.client import ComfyClient
from jobs.comfy.events import Disconnected, EventStream, Executed, Success
from jobs.comfy.kept_stream import KeptStream
from tests.comfy.edits import DEADLINE, edit
from tests.comfy.scripted import ScriptedSocketServer
from tests.servers import SandboxServer

FIRST, SECOND = str(uuid4()), str(uuid4())
CLIENT = uuid4()


def success_of(prompt_id: str) -> str:
    return json.dumps({"type": "execution_success", "data": {"prompt_id": prompt_id}})


async def both_succeed(request: web.Request, sock: web.WebSocketResponse) -> None:
    await sock.send_str(success_of(FIRST))
    await sock.send_str(success_of(SECOND))
    await sock.receive()


async def close_after_the_first(request: web.Request, sock: web.WebSocketResponse) -> None:
    await sock.send_str(success_of(FIRST))
    await sock.close()


async def say_nothing(request: web.Request, sock: web.WebSocketResponse) -> None:
    await sock.receive()


def hear_success(stream: EventStream) -> None:
    """Read up to the success of the stream's prompt."""
    deadline = time.monotonic() + DEADLINE
    while (event := stream.next(timeout=0.5)) != Success(stream.prompt_id):
        assert not isinstance(event, Disconnected), event
        assert time.monotonic() < deadline


def clients_of(server: ScriptedSocketServer) -> list[UUID]:
    return [UUID(handshake.query["clientId"]) for handshake in server.handshakes]


def test_the_next_prompt_is_heard_of_by_the_same_socket() -> None:
    with ScriptedSocketServer(both_succeed) as server, KeptStream() as kept:
        assert kept.client_ids == {}
        with kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
        assert kept.client_ids == {server.url: CLIENT}
        with kept.of(server.url, CLIENT, SECOND) as stream:
            assert kept.client_ids == {}, "while it is in use"
            hear_success(stream)
        assert kept.client_ids == {server.url: CLIENT}
        assert clients_of(server) == [CLIENT]


def test_prompt_after_prompt_of_a_node_is_followed(client: ComfyClient, sandbox: SandboxServer) -> None:
    with KeptStream() as kept:
        for _ in range(3):
            prompt_id = str(uuid4())
            with kept.of(sandbox.url, CLIENT, prompt_id) as stream:
                client.submit(edit(client, prompt_id), prompt_id, CLIENT.hex)
                seen = []
                while not isinstance(event := stream.next(timeout=DEADLINE), Success):
                    seen.append(event)
                [done] = [event for event in seen if isinstance(event, Executed)]
                assert done.prompt_id == prompt_id
            assert kept.client_ids == {sandbox.url: CLIENT}


def test_a_prompt_posted_under_another_id_gets_a_new_socket() -> None:
    other = uuid4()
    with ScriptedSocketServer(both_succeed) as server, KeptStream() as kept:
        with kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
        with kept.of(server.url, other, SECOND) as second:
            assert not stream.is_connected, "nobody reads it any more"
            hear_success(second)
        assert clients_of(server) == [CLIENT, other]
        assert kept.client_ids == {server.url: other}


def test_a_socket_that_the_block_has_closed_is_not_kept() -> None:
    with ScriptedSocketServer(both_succeed) as server, KeptStream() as kept:
        with kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
            stream.close()
        assert kept.client_ids == {}


def test_another_node_gets_a_socket_of_its_own() -> None:
    with (
        ScriptedSocketServer(both_succeed) as here,
        ScriptedSocketServer(both_succeed) as there,
        KeptStream() as kept,
    ):
        for server, prompt_id in ((here, FIRST), (there, SECOND)):
            with kept.of(server.url, CLIENT, prompt_id) as stream:
                hear_success(stream)
        assert kept.client_ids == {there.url: CLIENT}
        assert (clients_of(here), clients_of(there)) == ([CLIENT], [CLIENT])


def test_a_socket_that_did_not_tell_of_the_success_is_closed() -> None:
    with ScriptedSocketServer(say_nothing) as server, KeptStream() as kept:
        with kept.of(server.url, CLIENT, FIRST) as stream:
            assert stream.next(timeout=0.05) is None
        assert kept.client_ids == {}
        assert not stream.is_connected


def test_the_success_of_an_earlier_prompt_does_not_count() -> None:
    with ScriptedSocketServer(both_succeed) as server, KeptStream() as kept:
        with kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
        with kept.of(server.url, CLIENT, str(uuid4())) as stream:
            pass
        assert kept.client_ids == {}
        assert not stream.is_connected


def test_a_socket_that_closed_between_two_prompts_is_told_of_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "SHORTEST_CONNECTION_SECONDS", 0.0)
    with ScriptedSocketServer(close_after_the_first, say_nothing) as server, KeptStream() as kept:
        with kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
        with kept.of(server.url, CLIENT, SECOND) as stream:
            assert isinstance(stream.next(timeout=DEADLINE), Disconnected)
            assert stream.reconnect()
        assert kept.client_ids == {}
        assert clients_of(server) == [CLIENT, CLIENT]


def test_a_socket_opened_after_the_success_has_yet_to_prove_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SHORTEST_CONNECTION_SECONDS", 0.0)
    with ScriptedSocketServer(close_after_the_first, say_nothing) as server, KeptStream() as kept:
        with kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
            assert isinstance(stream.next(timeout=DEADLINE), Disconnected)
            assert stream.reconnect()
            assert not stream.has_told_success
        assert kept.client_ids == {}
        assert not stream.is_connected


def test_whatever_goes_wrong_closes_the_socket() -> None:
    with ScriptedSocketServer(both_succeed) as server, KeptStream() as kept:
        with suppress(ZeroDivisionError), kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
            raise ZeroDivisionError
        assert kept.client_ids == {}
        assert not stream.is_connected


def test_the_end_of_the_block_closes_it() -> None:
    with ScriptedSocketServer(both_succeed) as server:
        with KeptStream() as kept, kept.of(server.url, CLIENT, FIRST) as stream:
            hear_success(stream)
        assert not stream.is_connected
