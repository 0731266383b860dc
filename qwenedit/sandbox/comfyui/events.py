"""WebSocket clients and the messages for them.

Owns: which socket has which client id, and the one queue all messages go through, in order. As in ComfyUI
that has two traps: a client that does not read stalls everyone's messages, and a socket that reuses the
client id of another goes deaf when the other one closes.
"""

import asyncio
import json
import struct
from collections import deque
from typing import Any

from aiohttp import ClientError, web

PREVIEW_IMAGE = 1
PREVIEW_IMAGE_WITH_METADATA = 4
JPEG = 1
LONGEST_WAIT = 0.005  # seconds a message may lie in the queue for others to join it

Message = str | bytes


class Events:
    """The connected clients. `send` and `send_preview` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[tuple[Message, Any]] = deque()
        self._is_woken = False
        self._filled = asyncio.Event()
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._features: dict[str, dict[str, Any]] = {}
        self._transports: set[asyncio.Transport] = set()

    def connect(self, client_id: str, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        """Make `socket` the one that gets the messages for `client_id`."""
        self._sockets[client_id] = socket
        self._features[client_id] = {}
        self._transports.add(transport)

    def disconnect(self, client_id: str, transport: asyncio.Transport) -> None:
        """Forget the client id, even if another socket has taken it over meanwhile."""
        self._sockets.pop(client_id, None)
        self._features.pop(client_id, None)
        self._transports.discard(transport)

    def announce(self, client_id: str, features: dict[str, Any]) -> None:
        """Note what a client says it understands."""
        self._features[client_id] = features

    def send(self, event: str, data: dict[str, Any], client_id: Any = None) -> None:
        """Queue a message for one client, or for all if `client_id` is None."""
        self._put(json.dumps({"type": event, "data": data}), client_id)

    def send_text(self, message: str, client_id: Any = None) -> None:
        """Queue a message that is JSON already for one client, or for all if `client_id` is None."""
        self._put(message, client_id)

    def send_preview(self, picture: bytes, metadata: dict[str, Any], client_id: Any) -> bool:
        """Queue a JPEG with its metadata if the client understands that; return whether it does."""
        if not self._features.get(client_id, {}).get("supports_preview_metadata"):
            return False
        header = json.dumps(metadata | {"image_type": "image/jpeg"}).encode()
        packed = struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(header))
        self._put(packed + header + picture, client_id)
        return True

    def send_plain_preview(self, picture: bytes, client_id: Any) -> None:
        """Queue a JPEG without metadata."""
        self._put(struct.pack(">II", PREVIEW_IMAGE, JPEG) + picture, client_id)

    def _put(self, message: Message, client_id: Any) -> None:
        self._queue.append((message, client_id))
        # Waking the loop costs more than a message, and two busy threads get in each other's way: one wake-up
        # serves all messages of the next moment. `publish` takes the mark down before it looks, so that a
        # message which finds it up is seen.
        if not self._is_woken and not self._loop.is_closed():
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._loop.call_later, LONGEST_WAIT, self._filled.set)

    def flush(self) -> None:
        """Deliver now what has been queued; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._filled.set)

    async def publish(self) -> None:
        """Deliver messages, one after the other, until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            self._is_woken = False
            while self._queue:
                message, client_id = self._queue.popleft()
                if client_id is None:
                    for socket in list(self._sockets.values()):
                        await _deliver(socket, message)
                elif client_id in self._sockets:
                    await _deliver(self._sockets[client_id], message)

    def break_all(self) -> None:
        """Break every connection without a closing handshake (clients see code 1006); from any thread."""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for transport in self._transports:
            transport.abort()


async def _deliver(socket: web.WebSocketResponse, message: Message) -> None:
    try:
        if isinstance(message, str):
            await socket.send_str(message)
        else:
            await socket.send_bytes(message)
    except (ClientError, ConnectionError):
        pass  # the handler of that socket notices by itself
