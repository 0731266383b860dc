"""Servers that answer what a test tells them: older ComfyUI versions, proxies, and bad networks.

They speak real HTTP and WebSocket on a free port. What the sandbox does by itself is not
repeated here.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from aiohttp import web


@dataclass
class Request:
    """What arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    handler: BaseHTTPRequestHandler

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What to answer; a dict is sent as JSON."""

    status: int = 200
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)


Answer = Reply | Callable[[Request], Reply | None]
"""A fixed reply, or a function; one that returns None has written to the socket by itself."""


class ScriptedServer:
    """Answers `(method, path)` by `answers`, everything else as ComfyUI's file server does: an empty 404.

    A POST to an unknown path gives 405, for the file server knows GET only.
    """

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer] = {}
        self.requests: list[Request] = []
        self.connections = 0
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def setup(self) -> None:
                script.connections += 1
                super().setup()

            def log_message(self, *arguments: Any) -> None:
                pass

            def do_GET(self) -> None:
                script.serve(self)

            def do_POST(self) -> None:
                script.serve(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0]
        answer = self.answers.get((handler.command, path))
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Request(handler.command, handler.path, dict(handler.headers), body, handler)
        self.requests.append(request)
        if answer is None:
            answer = Reply(404 if handler.command == "GET" else 405)
        reply = answer if isinstance(answer, Reply) else answer(request)
        if reply is not None:
            self._send(handler, reply)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        is_json = isinstance(reply.body, dict)
        content = json.dumps(reply.body).encode() if isinstance(reply.body, dict) else reply.body
        kind = "application/json; charset=utf-8" if is_json else "application/octet-stream"
        handler.send_response(reply.status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **reply.headers,
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    @property
    def asked(self) -> list[str]:
        """The requests so far as `METHOD /path`."""
        return [f"{request.method} {request.path}" for request in self.requests]


def drop_connection(request: Request) -> None:
    """Close the connection without a word."""
    request.handler.close_connection = True


SocketScript = Callable[[web.Request, web.WebSocketResponse], Awaitable[None]]


class ScriptedSocketServer:
    """Runs the n-th script for the n-th WebSocket at /ws, and the last one for all that follow."""

    def __init__(self, *scripts: SocketScript) -> None:
        self._scripts = scripts
        self.handshakes: list[web.Request] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> str:
        application = web.Application()
        application.router.add_get("/prefix/ws", self._serve)
        application.router.add_get("/ws", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.handshakes.append(request)
        script = self._scripts[min(len(self.handshakes), len(self._scripts)) - 1]
        socket = web.WebSocketResponse(autoclose=False)
        await socket.prepare(request)
        await script(request, socket)
        return socket
