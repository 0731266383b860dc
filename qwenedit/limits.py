"""The edge in front of Django: how large a request body may be, what a request holds, and for how long.

Django reads a body to its end before any view runs: a view can refuse a large one only after it was stored.
Knows HTTP, and nothing of what is asked for.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from io import SEEK_END
from typing import IO, Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from qwenedit.problems import CONTENT_TYPE, problem

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

# How much of a refused body is read and dropped, in multiples of the limit, and for how long: closing on a
# client that still sends resets the connection, and the reset can overtake the answer.
DRAINED_LIMITS = 2
DRAIN_SECONDS = 15.0

MOST_IDLE_THREADS = 8

LONGEST_SEND = 60.0  # seconds that a client may leave a piece of a stream untaken


class Handler(ASGIHandler):
    """Django's handler, for chunked bodies too, and with one thread for all that a request is to go through.

    Alone it takes no Content-Length to mean an empty body, and sends a request to a thread and back for each
    middleware that does something of its own: more work than all the rest. It keeps that thread, with its
    database connection, until the answer is sent: here a stream, read on the loop, holds neither. And it
    makes the thread anew for each request, where here the next one has it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._idle: list[ThreadPoolExecutor] = []  # each has one thread

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request; a stream is sent once all else about the request is over."""
        outlet = _Outlet(send)
        async with self._thread():
            await super().__call__(scope, receive, outlet)
        if outlet.stream is not None:
            await self._send_stream(outlet.stream, receive, send)

    async def send_response(self, response: HttpResponseBase, send: Send) -> None:
        """Send an answer, or put a stream aside."""
        if isinstance(send, _Outlet) and isinstance(response, StreamingHttpResponse) and response.is_async:
            send.stream = response
        else:
            await super().send_response(response, send)

    async def _send_stream(self, stream: StreamingHttpResponse, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(super().send_response(stream, _patient(send)))
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

    @asynccontextmanager
    async def _thread(self) -> AsyncIterator[None]:
        """Keep a thread for the length of a block."""
        executor = self._idle.pop() if self._idle else ThreadPoolExecutor(1, "request")
        try:
            async with ThreadSensitiveContext(executor=executor):
                yield
        except BaseException:  # cut off by the server, which ends: the view may still be at work in it
            executor.shutdown(wait=False)
            raise
        if len(self._idle) < MOST_IDLE_THREADS:
            self._idle.append(executor)
        else:
            executor.shutdown(wait=False)

    def load_middleware(self, is_async: bool = False) -> None:  # noqa: FBT001, FBT002
        """Load the middleware for the thread, whatever Django wants."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request in its thread."""
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)

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


class _Outlet:
    """Where an answer goes; keeps a stream for later."""

    def __init__(self, send: Send) -> None:
        self.stream: StreamingHttpResponse | None = None
        self._send = send

    async def __call__(self, message: Message) -> None:
        await self._send(message)


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


class BodyLimit:
    """Wrap an ASGI application: bodies of more than `max_bytes` are answered 413 and never reach it."""

    def __init__(self, application: Application, *, max_bytes: int) -> None:
        self._application = application
        self._max_bytes = max_bytes

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await self._refuse(receive, send)
            return

        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                return {"type": "http.disconnect"}  # which makes Django drop what it has, without an answer
            return message

        await self._application(scope, counting, send)
        if received > self._max_bytes:
            await self._refuse(receive, send)

    async def _refuse(self, receive: Receive, send: Send) -> None:
        limit = self._max_bytes
        detail = f"The request is too large: at most {limit / (1 << 20):.4g} MB are accepted."
        body = json.dumps(problem(413, "too_large", detail, limit_bytes=limit)).encode()
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        # A client that was waiting for leave to send ("Expect: 100-continue") has this instead, and hangs up.
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await _drop(receive, DRAINED_LIMITS * limit)
        await send({"type": "http.response.body", "body": b""})


async def _drop(receive: Receive, most: int) -> None:
    dropped = 0
    while dropped < most:
        message = await receive()
        dropped += len(message.get("body", b""))
        if not message.get("more_body", False):
            return
