"""What the stand-in remembers: payments, refunds, answers by idempotence key, notifications to deliver.

Owns: the records as plain data and the bodies that the API shows of payments and refunds. Must not know how
they change. Amounts are integers of 1/100 of the currency; times are seconds since 1970.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TIME_TO_CONFIRM = 3600.0
TIME_TO_CAPTURE = 7 * 86_400.0
GATEWAY_ID = "100700"

# The beginning of a YooKassa id counts seconds; its middle tells payments from refunds.
EPOCH = 946_684_800
PAYMENT_MARK = "000f-5000-8000"
REFUND_MARK = "0015-5000-a000"


@dataclass
class Payment:
    """A payment. `cancellation` is (party, reason); `hidden_until` delays its first appearance."""

    id: str
    amount: int
    currency: str
    created_at: float
    test: bool
    account_id: str
    capture: bool
    confirmation: dict[str, Any]
    status: str = "pending"
    paid: bool = False
    refunded: int = 0
    description: str | None = None
    metadata: dict[str, str | None] | None = None
    merchant_customer_id: str | None = None
    method: dict[str, Any] | None = None
    authorization: dict[str, Any] | None = None
    receipt: dict[str, Any] | None = None
    receipt_registration: str | None = None
    captured_at: float | None = None
    expires_at: float | None = None
    cancellation: dict[str, str] | None = None
    hidden_until: float = 0.0

    def body(self) -> dict[str, Any]:
        """Return the Payment object of the API."""
        has_succeeded = self.status == "succeeded"
        fields: dict[str, Any] = {
            "id": self.id,
            "status": self.status,
            "amount": money(self.amount, self.currency),
            "income_amount": money(self.amount - fee(self.amount), self.currency) if has_succeeded else None,
            "description": self.description,
            "recipient": {"account_id": self.account_id, "gateway_id": GATEWAY_ID},
            "payment_method": self.method,
            "captured_at": moment(self.captured_at),
            "created_at": moment(self.created_at),
            "expires_at": moment(self.expires_at) if self.status == "waiting_for_capture" else None,
            "confirmation": self.confirmation if self.status == "pending" else None,
            "test": self.test,
            "refunded_amount": money(self.refunded, self.currency) if has_succeeded else None,
            "paid": self.paid,
            "refundable": has_succeeded and self.refunded < self.amount,
            "receipt_registration": self.receipt_registration,
            "metadata": self.metadata,
            "cancellation_details": self.cancellation,
            "authorization_details": self.authorization,
            "merchant_customer_id": self.merchant_customer_id,
        }
        return _without_none(fields)


@dataclass
class Refund:
    """A refund, made through the API or in the cabinet. `end` is what a pending one becomes, and when."""

    id: str
    payment_id: str
    amount: int
    currency: str
    created_at: float
    status: str = "pending"
    description: str | None = None
    metadata: dict[str, str | None] | None = None
    method: dict[str, Any] | None = None
    authorization: dict[str, str] | None = None
    receipt_registration: str | None = None
    cancellation: dict[str, str] | None = None
    end: dict[str, Any] | None = None
    hidden_until: float = 0.0

    def body(self) -> dict[str, Any]:
        """Return the Refund object of the API."""
        fields: dict[str, Any] = {
            "id": self.id,
            "payment_id": self.payment_id,
            "status": self.status,
            "cancellation_details": self.cancellation,
            "receipt_registration": self.receipt_registration,
            "created_at": moment(self.created_at),
            "amount": money(self.amount, self.currency),
            "description": self.description,
            "refund_method": self.method,
            "refund_authorization_details": self.authorization,
            "metadata": self.metadata,
        }
        return _without_none(fields)


@dataclass
class KeptAnswer:
    """The answer to the first request with an idempotence key; `id` is the key."""

    id: str
    request: str
    body: dict[str, Any]
    created_at: float


@dataclass
class Delivery:
    """A notification on its way. `object` is as it was at the event; `step` counts the attempts so far."""

    id: str
    event: str
    object: dict[str, Any]
    created_at: float
    step: int = 0


@dataclass
class Setting:
    """One thing of the whole stand-in that outlives its process."""

    id: str
    value: Any = field(default=None)


def new_id(mark: str, now: float) -> str:
    """Return an id of 36 characters in the form of YooKassa's."""
    return f"{int(now) - EPOCH:08x}-{mark}-{secrets.token_hex(6)}"


def money(amount: int, currency: str) -> dict[str, str]:
    """Return the API's form of an amount."""
    return {"value": f"{amount // 100}.{amount % 100:02d}", "currency": currency}


def fee(amount: int) -> int:
    """Return YooKassa's commission of 3.5 % with 22 % VAT on it."""
    return round(amount * 35 * 122 / 100_000)


def moment(seconds: float | None) -> str | None:
    """Return the API's form of a time."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
