"""The edge in front of Django: how large a request body may be.

Django reads a body to its end before any view runs: a view can refuse a large one only after it was stored.
Knows HTTP, and nothing of what is asked for.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from qwenedit.handler import Message, Receive, Send
from qwenedit.problems import CONTENT_TYPE, problem

Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

# How much of a refused body is read and dropped, in multiples of the limit, and for how long: closing on a
# client that still sends resets the connection, and the reset can overtake the answer.
DRAINED_LIMITS = 2
DRAIN_SECONDS = 15.0


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
