"""A request's one thread: signals, view and the reading of a file happen in it, then the answer is sent."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from qwenedit import handler as request_handler
from qwenedit.handler import SIDE_BY_SIDE, Handler

PICTURE = bytes(range(256)) * 1200
ANSWERED = "http.response.start"

seen: list[tuple[str, int]] = []
everybody = threading.Barrier(2 * SIDE_BY_SIDE)


def note(what: str) -> None:
    """Remember what happened, and in which thread."""
    seen.append((what, threading.get_ident()))


def words(_request: HttpRequest) -> HttpResponse:
    """Answer at once."""
    note("view")
    return HttpResponse("words")


def file(_request: HttpRequest) -> FileResponse:
    """Answer with what is read while it is sent."""

    def pieces() -> Iterator[bytes]:
        note("read")
        yield PICTURE
        note("read")

    return FileResponse(pieces())


def broken(_request: HttpRequest) -> FileResponse:
    """Answer with a file that can not be read to its end."""

    def pieces() -> Iterator[bytes]:
        yield PICTURE
        raise OSError("the disk is gone")

    return FileResponse(pieces())


def stream(_request: HttpRequest) -> StreamingHttpResponse:
    """Answer bit by bit."""

    async def pieces() -> AsyncIterator[bytes]:
        note("streamed")
        yield b"words"

    return StreamingHttpResponse(pieces())


def slow(_request: HttpRequest) -> HttpResponse:
    """Answer when everybody is here."""
    note("view")
    everybody.wait(timeout=30)
    return HttpResponse("slow")


def brief(_request: HttpRequest) -> HttpResponse:
    """Let go of the interpreter for a moment, in which others could come in."""
    note("came")
    time.sleep(0.01)
    note("went")
    return HttpResponse("brief")


urlpatterns = [path(f"{view.__name__}/", view) for view in (words, file, broken, stream, slow, brief)]


@pytest.fixture(autouse=True)
def _own_site(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    seen.clear()
    signals = {request_started: "started", request_finished: "finished"}
    receivers = [lambda signal, **_: note(signals[signal])]
    for signal in signals:
        signal.connect(receivers[0])
    yield
    for signal in signals:
        signal.disconnect(receivers[0])


def serve(handler: Handler, name: str, *received: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is sent to a client who asks for a page, and stays."""
    return asyncio.run(ask(handler, name, *received))


async def ask(handler: Handler, name: str, *received: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is sent to a client who asks for a page, and stays."""
    scope = {"type": "http", "method": "GET", "path": f"/{name}/", "query_string": b"", "headers": []}
    messages = list(received or [{"type": "http.request"}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    await handler(scope, receive, send)
    return sent


def body(sent: list[dict[str, Any]]) -> bytes:
    """Return the body of an answer that has come to its end."""
    assert sent[0]["type"] == ANSWERED
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    return b"".join(message.get("body", b"") for message in sent)


def test_signals_and_view_share_a_thread_and_the_next_request_has_it_too() -> None:
    handler = Handler()
    assert body(serve(handler, "words")) == b"words"
    assert body(serve(handler, "words")) == b"words"
    assert [what for what, _ in seen] == ["started", "view", "finished"] * 2
    assert len({thread for _, thread in seen} | {threading.get_ident()}) == 2


def test_a_file_is_read_to_its_end_in_that_thread_before_the_request_ends() -> None:
    assert body(serve(Handler(), "file")) == PICTURE
    assert [what for what, _ in seen] == ["started", "read", "read", "finished"]
    assert len({thread for _, thread in seen}) == 1


def test_a_file_that_can_not_be_read_ends_the_request_without_half_an_answer() -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        serve(Handler(), "broken")
    assert [what for what, _ in seen] == ["started", "finished"]


def test_a_stream_begins_when_its_request_is_over_and_runs_in_the_loop() -> None:
    assert body(serve(Handler(), "stream")) == b"words"
    assert [what for what, _ in seen] == ["started", "finished", "streamed"]
    assert seen[2][1] == threading.get_ident() != seen[0][1]


def test_a_client_who_leaves_before_the_end_of_the_request_is_not_served() -> None:
    half = {"type": "http.request", "body": b"half", "more_body": True}
    assert serve(Handler(), "words", half, {"type": "http.disconnect"}) == []
    assert seen == []


def test_those_who_wait_for_somebody_else_keep_nobody_waiting() -> None:
    async def crowd() -> list[list[dict[str, Any]]]:
        handler = Handler()
        return await asyncio.gather(*[ask(handler, "slow") for _ in range(everybody.parties)])

    assert [body(sent) for sent in asyncio.run(crowd())] == [b"slow"] * everybody.parties


def test_all_others_take_turns_in_the_order_of_their_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_handler, "SIDE_BY_SIDE", 1)
    monkeypatch.setattr(request_handler, "LONGEST_TURN", 60.0)
    served: list[int] = []

    async def come(handler: Handler, number: int) -> None:
        await ask(handler, "brief")
        served.append(number)

    async def crowd() -> None:
        handler = Handler()
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(come(handler, number))

    asyncio.run(crowd())
    assert served == list(range(10))
    assert [what for what, _ in seen] == ["started", "came", "went", "finished"] * 10


def test_what_is_no_request_of_http_is_refused() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing of it is to be read")

    async def send(message: Any) -> None:
        raise AssertionError(message)

    with pytest.raises(ValueError, match="websocket"):
        asyncio.run(Handler()({"type": "websocket", "path": "/"}, receive, send))
