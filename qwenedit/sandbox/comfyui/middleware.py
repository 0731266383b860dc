"""Around every request: who may ask, and the faults of the transport.

Owns: the checks of Origin and Sec-Fetch-Site that ComfyUI makes, HTTP basic authentication (which a real
deployment gets from a proxy in front), slow and lost answers. Must not know what requests do.
"""

import asyncio
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import BasicAuth, hdrs, web

from qwenedit.sandbox.comfyui.faults import Faults

CONTROL_PREFIX = "/sandbox/"
PROMPT_PATHS = ("/prompt", "/api/prompt")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Credentials:
    """The user and password that every request must carry."""

    user: str
    password: str

    def admit(self, request: web.Request) -> bool:
        """Whether a request carries them."""
        try:
            given = BasicAuth.decode(request.headers.get(hdrs.AUTHORIZATION, ""), encoding="utf-8")
        except ValueError:
            return False
        expected = f"{self.user}:{self.password}"
        return secrets.compare_digest(f"{given.login}:{given.password}".encode(), expected.encode())


def build_middlewares(
    faults: Faults, credentials: Credentials | None
) -> list[Callable[..., Awaitable[web.StreamResponse]]]:
    """Return the middlewares, outermost first."""

    @web.middleware
    async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL_PREFIX):
            return await handler(request)
        loses_answer = (
            request.method == "POST" and request.path in PROMPT_PATHS and faults.take("lose_answers")
        )
        try:
            return await handler(request)
        finally:
            if loses_answer and request.transport is not None:
                request.transport.abort()
            if faults.now.delay:
                await asyncio.sleep(faults.now.delay)

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if credentials is not None and not credentials.admit(request):
            return web.Response(status=401, headers={hdrs.WWW_AUTHENTICATE: 'Basic realm="ComfyUI"'})
        return await handler(request)

    @web.middleware
    async def check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Sec-Fetch-Site") == "cross-site" or _is_foreign(request):
            return web.Response(status=403)
        if request.method == hdrs.METH_OPTIONS:
            return web.Response()
        return await handler(request)

    return [misbehave, authenticate, check_origin]


def _is_foreign(request: web.Request) -> bool:
    """Whether a page of another origin asks a server that listens on a loopback name.

    The port counts only if the Origin names one.
    """
    origin = urlsplit(request.headers.get(hdrs.ORIGIN, "").lower())
    host = urlsplit("//" + request.headers.get(hdrs.HOST, "").lower())
    if not origin.netloc or not _is_loopback(host.hostname or ""):
        return False
    return origin.netloc != (host.netloc if origin.port else host.hostname)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
