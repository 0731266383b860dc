"""Around every API request: the journal, the faults, who may ask, and refusals as JSON.

Owns: everything about a request but what it asks for.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import BasicAuth, hdrs, web

from qwenedit.sandbox.yookassa.errors import Refusal, error_body
from qwenedit.sandbox.yookassa.faults import Fault
from qwenedit.sandbox.yookassa.journal import Entry
from qwenedit.sandbox.yookassa.records import moment
from qwenedit.sandbox.yookassa.shop import Shop

if TYPE_CHECKING:
    from qwenedit.sandbox.yookassa.server import Sandbox

API_PREFIX = "/v3/"
ENTRY = web.RequestKey("entry", Entry)
FAULT = web.RequestKey("fault", Fault)
HTML = "<html>\n<head><title>{0}</title></head>\n<body>\n<center><h1>{0}</h1></center>\n</body>\n</html>\n"
RETRY_AFTER = 1800
# Faults that belong to the work itself: `routes` and `payments` see to them.
WITHIN = ("hidden", "webhook_first")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_middlewares(sandbox: "Sandbox") -> list[Callable[..., Awaitable[web.StreamResponse]]]:
    """Return the middlewares, outermost first."""

    @web.middleware
    async def remember(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        finally:
            sandbox.flush()

    @web.middleware
    async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API_PREFIX):
            return await handler(request)
        entry = sandbox.journal.add(
            at=moment(sandbox.clock.now()),
            method=request.method,
            path=request.path,
            query=request.query,
            key=request.headers.get("Idempotence-Key"),
            body=await request.read(),
        )
        request[ENTRY] = entry
        fault = sandbox.faults.take(request.method, request.path)
        if fault is None:
            response = await handler(request)
        else:
            entry.fault = fault.fault
            request[FAULT] = fault
            response = await _suffer(fault, request, handler, sandbox.forgotten)
        entry.status = response.status if fault is None or fault.fault != "drop" else None
        return response

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(API_PREFIX):
            return await handler(request)
        try:
            _authenticate(request, sandbox.shop)
            request[ENTRY].processed = True
            return await handler(request)
        except Refusal as refusal:
            return json_response(refusal.body(), refusal.status)
        except web.HTTPNotFound:
            return json_response(error_body(404, "Resource not found"), 404)
        except web.HTTPException as error:
            return web.Response(status=error.status)

    return [remember, misbehave, refuse]


def json_response(body: Any, status: int = 200) -> web.Response:
    """Return a JSON answer, its letters unescaped."""
    return web.json_response(body, status=status, dumps=_dumps)


async def _suffer(
    fault: Fault, request: web.Request, handler: Handler, forgotten: asyncio.Event
) -> web.StreamResponse:
    if fault.fault == "hang":
        return await _hang(fault, request, handler, forgotten)
    answer = await handler(request) if fault.processed or fault.fault in WITHIN else None
    if answer is not None and fault.fault in WITHIN:
        return answer
    if fault.fault == "drop":
        _drop(request)
    return _answer(fault.fault)


async def _hang(
    fault: Fault, request: web.Request, handler: Handler, forgotten: asyncio.Event
) -> web.StreamResponse:
    """Answer late; a reset in the meantime ends the connection: no old request reaches a new world."""
    answer = await handler(request) if fault.processed else None
    try:
        async with asyncio.timeout(fault.seconds):
            await forgotten.wait()
    except TimeoutError:
        return answer or await handler(request)
    _drop(request)
    return _answer("drop")


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _answer(fault: str) -> web.Response:
    match fault:
        case "error":
            return json_response(error_body(500, "Internal server error"), 500)
        case "bad_gateway":
            return web.Response(status=502, text=HTML.format("502 Bad Gateway"), content_type="text/html")
        case "not_json":
            return web.Response(text=HTML.format("Service works"), content_type="text/html")
        case "processing":
            text = "Request accepted, but not processed yet. Retry later"
            body = {"type": "processing", "description": text, "retry_after": RETRY_AFTER}
            return json_response(body, 202)
        case "too_many_requests":
            body = error_body(429, "Too many requests") | {"retry_after": RETRY_AFTER}
            return json_response(body, 429)
        case "unauthorized":
            return json_response(error_body(401, "Error in shopId or secret key"), 401)
        case "forbidden":
            return json_response(error_body(403, "Operation is forbidden"), 403)
        case _:
            return web.Response(status=503)


def _authenticate(request: web.Request, shop: Shop) -> None:
    try:
        given = BasicAuth.decode(request.headers.get(hdrs.AUTHORIZATION, ""), encoding="utf-8")
    except ValueError:
        raise Refusal(401, "Authorization header is missing or malformed", "Authorization") from None
    expected = f"{shop.shop_id}:{shop.secret_key}"
    if not secrets.compare_digest(f"{given.login}:{given.password}".encode(), expected.encode()):
        raise Refusal(401, "Error in shopId or secret key. Check their validity.", "Authorization")


def _dumps(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False)
