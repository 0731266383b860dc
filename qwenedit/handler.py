"""Django's way through a request, in one thread and in turn; the sending of the answer, which holds none.

Django's own handler takes three threads and back for a request, one of them for its signals, and a fourth for
the sending of a file: a quarter of what a small request costs. Knows nothing of what is asked for.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from io import SEEK_END
from typing import IO, Any

from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.signals import request_started
from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# More at once would only take the interpreter from each other, and all of them be late. Whoever is not done
# in LONGEST_TURN is taken to wait for somebody else, and passes the turn on: the more of them, the sooner.
SIDE_BY_SIDE = 4
LONGEST_TURN = 0.02  # seconds
MOST_IDLE_THREADS = 8
LONGEST_SEND = 60.0  # seconds that a client may leave a piece of a stream untaken


class Handler(ASGIHandler):
    """Django's handler for synchronous views, whose streams may be asynchronous.

    Alone it also takes no Content-Length to mean an empty body, and keeps the thread of a request, with its
    database connection, until the answer is sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)
        self._slow = 0  # how many are at work whose turn is over
        self._idle: list[ThreadPoolExecutor] = []  # each has one thread

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request. A client that leaves once it is read changes nothing: the view runs in any case.

        Raises ValueError for what is not HTTP.
        """
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is served, not {scope['type']}.")
        try:
            body_file = await self.read_body(receive)
        except RequestAborted:
            return
        with body_file:
            async with self._turn():
                response = await self._in_thread(self._answer, scope, body_file)
        if isinstance(response, StreamingHttpResponse):
            await self._send_stream(response, receive, send)
        else:
            await self.send_response(response, send)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for a turn, in the order of arrival, and have it for the length of a block at most."""
        await self._turns.acquire()
        is_over = False

        def pass_on() -> None:
            nonlocal is_over
            is_over = True
            self._slow += 1
            self._turns.release()

        timer = asyncio.get_running_loop().call_later(LONGEST_TURN / (1 + self._slow), pass_on)
        try:
            yield
        finally:
            timer.cancel()
            if is_over:
                self._slow -= 1
            else:
                self._turns.release()

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Have work done in a thread that nobody waits for: there may be many, and few are kept.

        A database that is away keeps each for seconds, and `/healthz` wants one meanwhile.
        """
        thread = self._idle.pop() if self._idle else ThreadPoolExecutor(1, "request")
        in_context = contextvars.copy_context().run
        try:
            done = await asyncio.get_running_loop().run_in_executor(thread, in_context, work, *arguments)
        except BaseException:  # cut off by the server, which ends: the view may still be at work in it
            thread.shutdown(wait=False)
            raise
        if len(self._idle) < MOST_IDLE_THREADS:
            self._idle.append(thread)
        else:
            thread.shutdown(wait=False)
        return done

    def _answer(self, scope: dict[str, Any], body_file: IO[bytes]) -> Any:
        """Return the answer to a request. All that is to happen in its thread has happened then."""
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=type(self), scope=scope)
        request, refusal = self.create_request(scope, body_file)
        response: Any = refusal if request is None else self.get_response(request)
        response._handler_class = type(self)
        try:
            parts = self._parts(response)
        finally:
            response.close()  # which gives the database connection back
        if parts is not None:
            response.streaming_content = _each(parts)
        return response

    def _parts(self, response: HttpResponseBase) -> list[bytes] | None:
        """Read a file to its end; None for an answer that is whole, or that the loop is to read."""
        if not isinstance(response, StreamingHttpResponse) or response.is_async:
            return None
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return list(response)

    async def _send_stream(self, stream: StreamingHttpResponse, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self.send_response(stream, _patient(send)))
        leaving = asyncio.ensure_future(receive())  # the client can only leave: its request was read
        leaving.add_done_callback(lambda _: sending.cancel())
        try:
            await sending
        except asyncio.CancelledError:
            if not leaving.done():  # it was not the client who ended this
                raise
        except _Untaken:
            pass
        finally:
            leaving.cancel()

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002
        """Load the middleware for the thread, whatever Django wants."""
        super().load_middleware(is_async=False)

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        """Return the request with the length that its body turned out to have, or a refusal."""
        created = super().create_request(scope, body_file)
        if created[0] is not None and "CONTENT_LENGTH" not in created[0].META:
            body_file.seek(0, SEEK_END)
            created[0].META["CONTENT_LENGTH"] = str(body_file.tell())
            body_file.seek(0)
        return created


async def _each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class _Untaken(Exception):
    """The client is there, and takes nothing."""


def _patient(send: Send) -> Send:
    async def send_in_time(message: Message) -> None:
        try:
            async with asyncio.timeout(LONGEST_SEND):
                await send(message)
        except TimeoutError:
            raise _Untaken from None

    return send_in_time
