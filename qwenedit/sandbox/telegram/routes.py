"""The HTTP of the bot's side: /bot<token>/<method> and /file/bot<token>/<path>."""

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from qwenedit.sandbox.telegram.dispatch import BAD_GATEWAY, perform
from qwenedit.sandbox.telegram.errors import Refusal, error_body
from qwenedit.sandbox.telegram.faults import DOWNLOAD
from qwenedit.sandbox.telegram.methods.media import LARGEST_DOWNLOAD
from qwenedit.sandbox.telegram.parameters import read_parameters

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"


class BotRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    def register(self, app: web.Application) -> None:
        """Add the paths."""
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        app.router.add_get("/file/bot{token}/{path:.+}", self._file)

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return json_response(error_body(401, "Unauthorized"), 401)
        try:
            given = await read_parameters(request)
        except Refusal as refusal:
            return json_response(refusal.body(), refusal.code)
        answer = await perform(self._sandbox, request.match_info["method"], given)
        if answer.status is None:
            return hang_up(request)
        if answer.status == BAD_GATEWAY:
            return web.Response(status=BAD_GATEWAY, text=PAGE, content_type="text/html")
        headers = {}
        if "parameters" in answer.body:
            headers["Retry-After"] = str(answer.body["parameters"]["retry_after"])
        return json_response(answer.body, answer.status, headers)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if not self._is_known(request):
            return json_response(error_body(401, "Unauthorized"), 401)
        if fault := self._sandbox.faults.take(DOWNLOAD, None):
            await asyncio.sleep(fault.delay)
            if fault.drop:
                return hang_up(request)
            if fault.code:
                return json_response(error_body(fault.code, fault.text), fault.code)
        files = self._sandbox.files
        stored = files.at(request.match_info["path"])
        if stored is None or (stored.size or 0) > LARGEST_DOWNLOAD:
            return json_response(error_body(404, "Not Found"), 404)
        return web.Response(body=await files.read(stored), content_type="application/octet-stream")

    def _is_known(self, request: web.Request) -> bool:
        token = request.match_info["token"]
        return secrets.compare_digest(token.encode(), self._sandbox.config.token.encode())


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer, its letters unescaped."""
    return web.json_response(body, status=status, headers=headers, dumps=_dumps)


def hang_up(request: web.Request) -> web.Response:
    """Close a connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)
