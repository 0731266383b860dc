"""What every gateway can do, in our own types. Knows no SDK, no HTTP and no rows.

The outcome of a call that changes something is one of three: it succeeded (a value is returned), it
definitely failed (GatewayRejected), or nobody knows (GatewayUnavailable). After the third, the same call
may be repeated with the same idempotency key and the same frozen body, or be resolved by asking; never with
a new key.

    GatewayError
      GatewayRejected        the gateway said no; nothing happened there
      GatewayUnavailable     no answer that could be understood: the outcome is unknown
      NotFoundAtGateway      the gateway knows no such payment or refund (it may not know it yet)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from qwenedit.errors import DomainError


class GatewayError(DomainError):
    """A gateway did not do what was asked. `detail` is for the operator."""

    code: ClassVar[str] = "gateway_error"
    status: ClassVar[int] = 502

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class GatewayRejected(GatewayError):
    """The gateway definitely refused; a repetition would be refused again. `reason` is its own code.

    Of a repetition it says only that this call did nothing. What an earlier call under the same key did,
    whose outcome was unknown, must still be asked: the credentials may have been changed since, or the money
    given back already.
    """

    code = "gateway_rejected"

    def __init__(self, message: str, *, reason: str = "", detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.reason = reason


class GatewayUnavailable(GatewayError):
    """The outcome is unknown: a time-out, a lost connection, a server error, too many requests."""

    code = "gateway_unavailable"
    status = 503
    retryable = True

    def __init__(self, message: str = "The payment service does not answer.", *, detail: str = "") -> None:
        super().__init__(message, detail=detail)


class NotFoundAtGateway(GatewayError):
    """There is no such payment or refund at the gateway, or not yet."""

    code = "gateway_not_found"
    retryable = True


class RemoteStatus(StrEnum):
    """Where a payment or a refund is at the gateway."""

    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class RemotePayment:
    """A payment as the gateway sees it. Amounts are kopeks; `raw` is its own object, for the record."""

    id: str
    status: RemoteStatus
    amount: int
    currency: str
    shop_id: str
    is_test: bool
    created_at: datetime
    refunded: int = 0
    confirmation_url: str = ""
    method: str = ""
    cancellation_party: str = ""
    cancellation_reason: str = ""
    receipt_registration: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteRefund:
    """A refund as the gateway sees it. The amount is kopeks."""

    id: str
    payment_id: str
    status: RemoteStatus
    amount: int
    currency: str
    created_at: datetime
    cancellation_reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a fiscal receipt (54-FZ) says of one top-up: to whom, what, and how it is taxed."""

    email: str
    item: str
    vat_code: int
    payment_subject: str
    payment_mode: str
    tax_system_code: int | None = None


class Gateway(Protocol):
    """Fetches, refunds and lists payments, wherever they were begun.

    `refund_body` builds what is frozen in our row before the call; `refund` sends exactly that under a key
    that was committed first. Every method has a timeout and may raise GatewayUnavailable.
    """

    name: str

    def fetch(self, payment_id: str) -> RemotePayment:
        """Ask for a payment: the truth. Raises NotFoundAtGateway."""

    def refund_body(
        self,
        *,
        payment_id: str,
        amount: int,
        description: str,
        metadata: Mapping[str, str],
        receipt: Receipt | None,
    ) -> dict[str, Any]:
        """Return the body of a refund of `amount` kopeks; a full refund needs no receipt."""

    def refund(self, *, body: Mapping[str, Any], key: str) -> RemoteRefund:
        """Give money back. Raises GatewayRejected."""

    def fetch_refund(self, refund_id: str) -> RemoteRefund:
        """Ask for a refund. Raises NotFoundAtGateway."""

    def list_payments(self, *, since: datetime, until: datetime) -> Iterator[RemotePayment]:
        """Yield the payments created in [since, until), newest first, page by page."""

    def list_refunds(self, *, since: datetime, until: datetime) -> Iterator[RemoteRefund]:
        """Yield the refunds created in [since, until), newest first, page by page."""


class StartingGateway(Gateway, Protocol):
    """A gateway that begins payments itself; those in Stars begin with an invoice in a chat.

    As with refunds, `start_body` builds what is frozen, and `start` sends it.
    """

    def start_body(
        self,
        *,
        amount: int,
        method: str,
        description: str,
        return_url: str,
        metadata: Mapping[str, str],
        receipt: Receipt | None,
    ) -> dict[str, Any]:
        """Return the body of a payment of `amount` kopeks by `method` (`card` or `sbp`)."""

    def start(self, *, body: Mapping[str, Any], key: str) -> RemotePayment:
        """Create the payment. Raises GatewayRejected."""
