"""The API v3 over HTTP: payments, refunds and the shop itself.

Owns: paths, idempotence of POST, bodies in and out. What requests do is known to `payments` and `refunds`.
"""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from qwenedit.sandbox.yookassa.errors import Refusal, not_found
from qwenedit.sandbox.yookassa.idempotence import fingerprint
from qwenedit.sandbox.yookassa.lists import page, payment_tests, refund_tests
from qwenedit.sandbox.yookassa.middleware import ENTRY, FAULT, json_response
from qwenedit.sandbox.yookassa.receipts import check_receipt
from qwenedit.sandbox.yookassa.records import Payment, Refund
from qwenedit.sandbox.yookassa.validation import read_amount, read_key, read_payment, read_refund

if TYPE_CHECKING:
    from qwenedit.sandbox.yookassa.server import Sandbox

Operation = Callable[[web.Request, dict[str, Any]], Awaitable[dict[str, Any]]]


class ApiRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    def register(self, app: web.Application) -> None:
        """Add the paths."""
        app.router.add_post("/v3/payments", self._once(self._create_payment))
        app.router.add_get("/v3/payments", self._list_payments)
        app.router.add_get("/v3/payments/{id}", self._show_payment)
        app.router.add_post("/v3/payments/{id}/capture", self._once(self._capture))
        app.router.add_post("/v3/payments/{id}/cancel", self._once(self._cancel))
        app.router.add_post("/v3/refunds", self._once(self._create_refund))
        app.router.add_get("/v3/refunds", self._list_refunds)
        app.router.add_get("/v3/refunds/{id}", self._show_refund)
        app.router.add_get("/v3/me", self._me)

    def _once(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Carry an operation out once per idempotence key."""

        async def handler(request: web.Request) -> web.Response:
            key = read_key(request.headers.get("Idempotence-Key"))
            body = await _read_body(request)
            asked = fingerprint(request.path, body)
            keys = self._sandbox.keys
            answer = keys.find(key, asked)
            if answer is None:
                answer = await operation(request, body)
                keys.keep(key, asked, answer)
                await self._tell_first(request)
            else:
                request[ENTRY].replayed = True
            return json_response(answer)

        return handler

    async def _tell_first(self, request: web.Request) -> None:
        """Deliver what there is to tell before the answer, if this request is to suffer that."""
        if _fault(request) == "webhook_first":
            await self._sandbox.clock.advance(0)

    async def _create_payment(self, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        asked = read_payment(body, self._sandbox.shop)
        if not self._sandbox.shop.enabled:
            raise Refusal(403, "The store is disabled")
        payments = self._sandbox.payments
        payment = payments.create(asked, base_url=_base_url(request), hidden_for=_hidden_for(request))
        answer = payment.body()
        if _fault(request) == "webhook_first":
            payments.pay(payment, payments.methods_for(payment)[0])
        return answer

    async def _capture(self, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        payment = self._payment(request)
        amount = None
        if body.get("amount") is not None:
            amount, currency = read_amount(body, self._sandbox.shop)
            if payment.status == "waiting_for_capture" and amount < payment.amount:
                check_receipt(body.get("receipt"), amount, currency, self._sandbox.shop)
        self._sandbox.payments.capture(payment, amount)
        return payment.body()

    async def _cancel(self, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        payment = self._payment(request)
        self._sandbox.payments.cancel(payment)
        return payment.body()

    async def _create_refund(self, request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
        asked = read_refund(body, self._sandbox.shop)
        refund = self._sandbox.refunds.create(asked, hidden_for=_hidden_for(request))
        return refund.body()

    async def _show_payment(self, request: web.Request) -> web.Response:
        return json_response(self._payment(request).body())

    async def _show_refund(self, request: web.Request) -> web.Response:
        refund = self._sandbox.store.refunds.get(request.match_info["id"])
        if refund is None or self._is_hidden(refund):
            raise not_found("refund_id", "Refund")
        return json_response(refund.body())

    async def _list_payments(self, request: web.Request) -> web.Response:
        records = self._sandbox.store.payments.newest_first()
        body = page(records, payment_tests(request.query), request.query, self._sandbox.clock.now())
        return json_response(body)

    async def _list_refunds(self, request: web.Request) -> web.Response:
        records = self._sandbox.store.refunds.newest_first()
        body = page(records, refund_tests(request.query), request.query, self._sandbox.clock.now())
        return json_response(body)

    async def _me(self, request: web.Request) -> web.Response:
        return json_response(self._sandbox.shop.body())

    def _payment(self, request: web.Request) -> Payment:
        payment = self._sandbox.store.payments.get(request.match_info["id"])
        if payment is None or self._is_hidden(payment):
            raise not_found("payment_id", "Payment")
        return payment

    def _is_hidden(self, record: Payment | Refund) -> bool:
        return self._sandbox.clock.now() < record.hidden_until


async def _read_body(request: web.Request) -> dict[str, Any]:
    """Return the object in the body; an empty body is an empty object."""
    raw = await request.read()
    if raw and request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise Refusal(400, "Error parsing JSON request body") from None
    if not isinstance(body, dict):
        raise Refusal(400, "Error parsing JSON request body")
    return body


def _base_url(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _fault(request: web.Request) -> str:
    fault = request.get(FAULT)
    return "" if fault is None else fault.fault


def _hidden_for(request: web.Request) -> float:
    fault = request.get(FAULT)
    return fault.seconds if fault is not None and fault.fault == "hidden" else 0.0
