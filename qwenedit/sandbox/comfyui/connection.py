"""One WebSocket client, from the handshake until it goes.

Owns: client ids, the first messages, the feature flags. What is sent later is known to `reports`.
"""

import json
import uuid
from typing import TYPE_CHECKING

from aiohttp import WSMessage, WSMsgType, web

if TYPE_CHECKING:
    from qwenedit.sandbox.comfyui.server import Sandbox


class ConnectionRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """Send messages to a client until it goes; the first thing it says may be its feature flags."""
        if self._sandbox.faults.websockets_refused:
            return web.Response(status=503)
        events = self._sandbox.events
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        client_id = request.query.get("clientId") or uuid.uuid4().hex
        events.connect(client_id, socket, transport)
        try:
            events.send("status", {"status": self._sandbox.worker.status(), "sid": client_id}, client_id)
            if node_id := self._sandbox.worker.executor.current_node(client_id):
                events.send("executing", {"node": node_id}, client_id)
            first = True
            async for message in socket:
                if message.type is WSMsgType.TEXT and first:
                    first = False
                    self._greet(client_id, message)
        finally:
            events.disconnect(client_id, transport)
        return socket

    def _greet(self, client_id: str, message: WSMessage) -> None:
        try:
            greeting = message.json()
        except json.JSONDecodeError:
            return
        if greeting.get("type") == "feature_flags":
            self._sandbox.events.announce(client_id, greeting.get("data", {}))
            self._sandbox.events.send("feature_flags", self._sandbox.features(), client_id)
