"""The buyer's page: where the confirmation URL leads, and where one pays, declines or lets time run out.

Owns: the page and its form; it works without scripts. What a choice does is known to `payments`.
"""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from qwenedit.sandbox.yookassa.checkout_page import render, render_missing
from qwenedit.sandbox.yookassa.errors import Refusal
from qwenedit.sandbox.yookassa.records import Payment

if TYPE_CHECKING:
    from qwenedit.sandbox.yookassa.server import Sandbox

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
}


class CheckoutRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    def register(self, app: web.Application) -> None:
        """Add the paths."""
        app.router.add_get("/checkout/{id}", self._show)
        app.router.add_post("/checkout/{id}", self._choose)

    async def _show(self, request: web.Request) -> web.Response:
        payment = self._sandbox.store.payments.get(request.match_info["id"])
        if payment is None:
            return _page(render_missing(), 404)
        return self._page_of(payment)

    async def _choose(self, request: web.Request) -> web.Response:
        """Do what the buyer chose; a choice that comes too late changes nothing."""
        payment = self._sandbox.store.payments.get(request.match_info["id"])
        if payment is None:
            return _page(render_missing(), 404)
        choice = (await request.post()).get("choice")
        payments = self._sandbox.payments
        try:
            match choice:
                case "bank_card" | "sbp" | "yoo_money":
                    payments.pay(payment, str(choice))
                case "decline":
                    payments.decline(payment, party="payment_network", reason="insufficient_funds")
                case "expire":
                    payments.expire(payment)
                case _:
                    return self._page_of(payment, 400)
        except Refusal:
            return self._page_of(payment, 409)
        return web.Response(status=303, headers={"Location": request.path})

    def _page_of(self, payment: Payment, status: int = 200) -> web.Response:
        methods = self._sandbox.payments.methods_for(payment) if payment.status == "pending" else []
        return _page(render(payment, methods, return_url(payment)), status)


def return_url(payment: Payment) -> str:
    """Return where the buyer goes afterwards, or an empty text; never a URL that a browser would run."""
    url = str(payment.confirmation.get("return_url", ""))
    return url if urlsplit(url).scheme in ("http", "https", "tg") else ""


def _page(html: str, status: int) -> web.Response:
    return web.Response(text=html, status=status, content_type="text/html", headers=HEADERS)
