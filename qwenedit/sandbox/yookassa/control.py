"""What tests and people may do to the stand-in beyond the API: POST /sandbox/control.

Owns: the actions below, their arguments and answers. The body is a JSON object of `action` and its
arguments. The answer is a JSON object, the state unless it says otherwise below; what cannot be done is
answered with 400 and `{"error": …}`. Nothing here asks for credentials. Amounts are texts such as "100.00".

GET /sandbox/control answers the state, GET /sandbox/journal the API requests
(`?method=&path=&key=&status=&fault=` select), GET /sandbox/deliveries every attempt to deliver a notification
(`?event=&object_id=` select).

Payments and refunds; the answer is the object as the API shows it:

    pay             payment_id [method] [late] [amount] [currency] [test] [shop_id]
                    late: even if it has expired; the rest: how it shall differ from what was asked for
    decline         payment_id [reason: insufficient_funds] [party: payment_network]
    expire          payment_id: its time to confirm or to capture runs out now
    refund          payment_id [amount: what is left] [description] [metadata]: as staff does in the cabinet
    settle_refund   refund_id [status: succeeded] [party] [reason]
    settle_receipt  payment_id or refund_id [status: succeeded]

The world:

    advance         seconds: the clock goes forward; what falls due on the way (expiry, redeliveries,
                    registrations, refunds) is done at its moment, and the answer comes when all is done
    shop            [test] [enabled] [fiscalization: provider or ""] [methods]
    refund_mode     mode [seconds: 60] [party] [reason] [count]: what becomes of refunds from now on:
                    succeeded, pending, canceled, pending_then_succeeded or pending_then_canceled
    receipt_mode    mode [seconds: 5]: registration ends as succeeded or canceled, or stays pending
    fault           fault … see `faults`
    clear_faults
    reset           everything is as it was at the start, the clock included

Notifications:

    webhooks        [url] [copies] [parallel] [headers]: how every notification is sent from now on
    pause           hold them back
    resume          [order: kept or reversed]: deliver what was held back, one by one
    notify          send one now; the answer lists what came of every copy. Its object is that of payment_id
                    or refund_id, or `object` as given, then
                    [status]    as it was in that earlier status (stale)
                    [changes]   with these merged into it (forged)
                    [event]     under this name instead of the usual one (unknown)
                    [shape]     whole, truncated, huge (of [size: 5000000] bytes), not_json or empty
                    [url] [copies] [parallel] [headers]   for this time only
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from qwenedit.sandbox.yookassa.actions import Actions
from qwenedit.sandbox.yookassa.errors import Refusal
from qwenedit.sandbox.yookassa.middleware import json_response
from qwenedit.sandbox.yookassa.records import Payment, Refund, moment

if TYPE_CHECKING:
    from qwenedit.sandbox.yookassa.server import Sandbox


class ControlRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._actions = Actions(sandbox)

    def register(self, app: web.Application) -> None:
        """Add the paths."""
        app.router.add_get("/sandbox/control", self._show)
        app.router.add_post("/sandbox/control", self._act)
        app.router.add_get("/sandbox/journal", self._journal)
        app.router.add_get("/sandbox/deliveries", self._deliveries)

    async def _show(self, request: web.Request) -> web.Response:
        return json_response(self._state())

    async def _act(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            # A page of another origin cannot send this type without being allowed to.
            return _error("the Content-Type must be application/json")
        try:
            arguments = await request.json()
            if not isinstance(arguments, dict):
                return _error("the body must be a JSON object")
            return json_response(await self._actions.perform(arguments) or self._state())
        except Refusal as refusal:
            return _error(refusal.description)
        except ValueError as error:
            return _error(str(error))

    async def _journal(self, request: web.Request) -> web.Response:
        return json_response({"requests": list(self._sandbox.journal.select(request.query))})

    async def _deliveries(self, request: web.Request) -> web.Response:
        attempts = self._sandbox.webhooks.journal
        wanted = request.query.items()
        found = [entry for entry in attempts if all(str(entry.get(name)) == value for name, value in wanted)]
        return json_response({"deliveries": found})

    def _state(self) -> dict[str, Any]:
        sandbox = self._sandbox
        return {
            "now": moment(sandbox.clock.now()),
            "shop": sandbox.shop.body(),
            "payments": _count(sandbox.store.payments.rows.values()),
            "refunds": _count(sandbox.store.refunds.rows.values()),
            "refund_mode": vars(sandbox.refunds.mode),
            "receipt_mode": {"mode": sandbox.registration.outcome, "seconds": sandbox.registration.seconds},
            "faults": sandbox.faults.state(),
            "webhooks": sandbox.webhooks.state(),
            "requests": len(sandbox.journal),
        }


def _count(records: Iterable[Payment | Refund]) -> dict[str, int]:
    return dict(Counter(record.status for record in records))


def _error(text: str) -> web.Response:
    return json_response({"error": text}, 400)
