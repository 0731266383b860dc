"""The life of a payment: pending, waiting_for_capture, succeeded or canceled.

Owns: what may follow what, and when. Must not know HTTP. Everything here raises `errors.Refusal`.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from qwenedit.sandbox.yookassa.clock import Clock
from qwenedit.sandbox.yookassa.errors import invalid
from qwenedit.sandbox.yookassa.records import (
    PAYMENT_MARK,
    TIME_TO_CAPTURE,
    TIME_TO_CONFIRM,
    Payment,
    new_id,
)
from qwenedit.sandbox.yookassa.registration import Registration
from qwenedit.sandbox.yookassa.shop import Shop
from qwenedit.sandbox.yookassa.store import Store
from qwenedit.sandbox.yookassa.validation import PaymentRequest

Notify = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class Lie:
    """How a paid payment shall differ from what was asked for; None leaves a thing as it is."""

    amount: int | None = None
    currency: str | None = None
    test: bool | None = None
    account_id: str | None = None


NO_LIE = Lie()


class Payments:
    """Every payment of the shop."""

    def __init__(
        self, shop: Shop, store: Store, clock: Clock, registration: Registration, notify: Notify
    ) -> None:
        self._shop = shop
        self._store = store
        self._clock = clock
        self._registration = registration
        self._notify = notify
        for payment in store.payments.rows.values():
            self._arm(payment)

    def create(self, asked: PaymentRequest, *, base_url: str, hidden_for: float = 0.0) -> Payment:
        """Make a payment that waits for its buyer at `base_url`/checkout/ID."""
        now = self._clock.now()
        payment_id = new_id(PAYMENT_MARK, now)
        payment = Payment(
            id=payment_id,
            amount=asked.amount,
            currency=asked.currency,
            created_at=now,
            test=self._shop.test,
            account_id=self._shop.shop_id,
            capture=asked.capture,
            confirmation=_confirmation(asked.confirmation, payment_id, base_url),
            description=asked.description,
            metadata=asked.metadata,
            merchant_customer_id=asked.merchant_customer_id,
            receipt=asked.receipt,
            hidden_until=now + hidden_for,
        )
        if asked.method is not None:
            payment.method = {"type": asked.method, "id": payment_id, "saved": False, "status": "pending"}
        self._store.payments.save(payment)
        self._arm(payment)
        return payment

    def pay(self, payment: Payment, method: str, *, late: bool = False, lie: Lie = NO_LIE) -> None:
        """Let the buyer pay; with `late` even what has expired."""
        has_expired = (
            payment.cancellation is not None and payment.cancellation["reason"] == "expired_on_confirmation"
        )
        if payment.status != "pending" and not (late and has_expired):
            raise invalid("payment_id", f"Payment is {payment.status}")
        if method not in self.methods_for(payment):
            raise invalid("method", f"This payment cannot be made by {method}")
        now = self._clock.now()
        payment.cancellation = None
        payment.paid = True
        payment.amount = payment.amount if lie.amount is None else lie.amount
        payment.currency = lie.currency or payment.currency
        payment.test = payment.test if lie.test is None else lie.test
        payment.account_id = lie.account_id or payment.account_id
        payment.method = _method_paid(method, payment.id)
        payment.authorization = _authorization() if method == "bank_card" else None
        if payment.capture:
            self._succeed(payment)
            return
        payment.status = "waiting_for_capture"
        payment.expires_at = now + TIME_TO_CAPTURE
        self._changed(payment)
        self._arm(payment)

    def decline(self, payment: Payment, *, party: str, reason: str) -> None:
        """Let the buyer's attempt fail for good."""
        if payment.status != "pending":
            raise invalid("payment_id", f"Payment is {payment.status}")
        self._cancel(payment, party, reason)

    def expire(self, payment: Payment) -> None:
        """Let the time to confirm or to capture run out now."""
        if payment.status == "pending":
            self._cancel(payment, "yoo_money", "expired_on_confirmation")
        elif payment.status == "waiting_for_capture":
            self._cancel(payment, "yoo_money", "expired_on_capture")
        else:
            raise invalid("payment_id", f"Payment is {payment.status}")

    def capture(self, payment: Payment, amount: int | None) -> None:
        """Take the money that is held, or a part of it."""
        if payment.status != "waiting_for_capture":
            raise invalid("payment_id", f"Payment in status {payment.status} can not be captured")
        if amount is not None and amount > payment.amount:
            raise invalid("amount.value", "Capture amount exceeds the payment amount")
        payment.amount = payment.amount if amount is None else amount
        self._succeed(payment)

    def cancel(self, payment: Payment) -> None:
        """Release the money that is held."""
        if payment.capture:
            raise invalid("payment_id", "You can not cancel payment with autocapture")
        if payment.status != "waiting_for_capture":
            raise invalid("payment_id", f"Payment in status {payment.status} can not be canceled")
        self._cancel(payment, "merchant", "canceled_by_merchant")

    def methods_for(self, payment: Payment) -> list[str]:
        """Return by what a payment can be made: the one asked for, or all that the shop has."""
        if payment.method is not None:
            return [payment.method["type"]]
        return [name for name in self._shop.methods if payment.capture or name != "sbp"]

    def _succeed(self, payment: Payment) -> None:
        payment.status = "succeeded"
        payment.captured_at = self._clock.now()
        self._registration.start(payment)
        self._changed(payment)

    def _cancel(self, payment: Payment, party: str, reason: str) -> None:
        payment.status = "canceled"
        payment.paid = False
        payment.cancellation = {"party": party, "reason": reason}
        self._changed(payment)

    def _changed(self, payment: Payment) -> None:
        self._store.payments.save(payment)
        self._notify(f"payment.{payment.status}", payment.body())

    def _arm(self, payment: Payment) -> None:
        if payment.status == "pending":
            self._clock.call_at(
                payment.created_at + TIME_TO_CONFIRM, partial(self._run_out, payment.id, "pending")
            )
        elif payment.status == "waiting_for_capture" and payment.expires_at is not None:
            self._clock.call_at(payment.expires_at, partial(self._run_out, payment.id, "waiting_for_capture"))

    async def _run_out(self, payment_id: str, status: str) -> None:
        payment = self._store.payments.get(payment_id)
        if payment is not None and payment.status == status:
            self.expire(payment)


def _confirmation(asked: dict[str, Any], payment_id: str, base_url: str) -> dict[str, Any]:
    page = f"{base_url}/checkout/{payment_id}"
    match asked["type"]:
        case "redirect" | "mobile_application":
            return asked | {"confirmation_url": page}
        case "qr":
            return asked | {"confirmation_data": page}
        case "embedded":
            return asked | {"confirmation_token": f"ct-{payment_id}"}
        case _:
            return asked


def _method_paid(method: str, payment_id: str) -> dict[str, Any]:
    common = {"type": method, "id": payment_id, "saved": False, "status": "inactive"}
    if method == "bank_card":
        # YooKassa's own test card, the number of no buyer.
        card = {
            "first6": "555555",
            "last4": "4477",
            "expiry_year": "2030",
            "expiry_month": "12",
            "card_type": "MasterCard",
            "issuer_country": "RU",
            "issuer_name": "Sandbox Bank",
        }
        return common | {"title": "Bank card *4477", "card": card}
    if method == "sbp":
        bank = {"bank_id": "100000000111", "bic": "044525225"}
        return common | {"sbp_operation_id": secrets.token_hex(16).upper(), "payer_bank_details": bank}
    return common | {"title": "YooMoney wallet 410011758831136", "account_number": "410011758831136"}


def _authorization() -> dict[str, Any]:
    def digits(count: int) -> str:
        return str(secrets.randbelow(10**count)).zfill(count)

    return {"rrn": digits(12), "auth_code": digits(6), "three_d_secure": {"applied": True}}
