"""Telegram Stars as a gateway: what was charged, what was given back, and how to give back.

An invoice is sent into a chat and paid there, so nothing is started here. A charge is given back once and in
whole, and its refund has the charge's own id. It knows no rows and no chats.

    True, CHARGE_ALREADY_REFUNDED     the Stars are given back
    400 401 403                       GatewayRejected
    429 5xx, anything else, no answer GatewayUnavailable
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from telegram import Bot, StarTransaction, TransactionPartner, TransactionPartnerUser, constants
from telegram.error import TelegramError

from payments.amounts import STARS
from payments.gateways.base import (
    GatewayError,
    GatewayRejected,
    GatewayUnavailable,
    NotFoundAtGateway,
    Receipt,
    RemotePayment,
    RemoteRefund,
    RemoteStatus,
)
from qwenedit import bot_api

PAGE_SIZE = 100
ALREADY_REFUNDED = "charge_already_refunded"
INVOICE = constants.TransactionPartnerUser.INVOICE_PAYMENT
T = TypeVar("T")


class StarsGateway:
    """The Stars that the bot has earned; threads may share it."""

    name = "stars"

    def fetch(self, payment_id: str) -> RemotePayment:
        """Look a charge up among all transactions, the newest first. Raises NotFoundAtGateway."""
        refunded = 0
        for transaction in _newest_first(None):
            if transaction.id != payment_id:
                continue
            if buyer := _buyer(transaction.source):
                return _payment(transaction, buyer, refunded=refunded)
            if _buyer(transaction.receiver):
                refunded += transaction.amount
        raise NotFoundAtGateway("Telegram has no such charge.", detail=payment_id)

    def refund_body(
        self,
        *,
        payment_id: str,
        amount: int,
        description: str,
        metadata: Mapping[str, str],
        receipt: Receipt | None,
    ) -> dict[str, Any]:
        """Return what names a charge: its id and, from the metadata, the Telegram id of who paid it."""
        return {
            "user_id": int(metadata["payer"]),
            "telegram_payment_charge_id": payment_id,
            "amount": amount,
            "refund_id": metadata["refund_id"],
        }

    def refund(self, *, body: Mapping[str, Any], key: str) -> RemoteRefund:
        """Give a charge back. Repeating it changes nothing. Raises GatewayRejected, GatewayUnavailable."""
        charge_id = body["telegram_payment_charge_id"]
        try:
            _call(lambda bot: bot.refund_star_payment(body["user_id"], charge_id))
        except GatewayRejected as error:
            if ALREADY_REFUNDED not in error.reason.lower():
                raise
        return RemoteRefund(
            id=charge_id,
            payment_id=charge_id,
            status=RemoteStatus.SUCCEEDED,
            amount=body["amount"],
            currency=STARS,
            created_at=datetime.now(UTC),
            metadata={"refund_id": body["refund_id"]},
        )

    def fetch_refund(self, refund_id: str) -> RemoteRefund:
        """Look the refund of a charge up among all transactions. Raises NotFoundAtGateway."""
        for transaction in _newest_first(None):
            if transaction.id == refund_id and (buyer := _buyer(transaction.receiver)):
                return _refund(transaction, buyer)
        raise NotFoundAtGateway("Telegram has no such refund.", detail=refund_id)

    def list_payments(self, *, since: datetime, until: datetime) -> Iterator[RemotePayment]:
        """Yield the charges of [since, until), newest first, page by page."""
        for transaction in _newest_first(since):
            buyer = _buyer(transaction.source)
            if buyer and since <= transaction.date < until:
                yield _payment(transaction, buyer)

    def list_refunds(self, *, since: datetime, until: datetime) -> Iterator[RemoteRefund]:
        """Yield the refunds of [since, until), newest first, page by page."""
        for transaction in _newest_first(since):
            buyer = _buyer(transaction.receiver)
            if buyer and since <= transaction.date < until:
                yield _refund(transaction, buyer)


def _newest_first(since: datetime | None) -> Iterator[StarTransaction]:
    """Yield transactions from the newest back to `since`.

    Telegram lists the oldest first and tells no number of them; the list only ever grows at its end.
    """
    page = _page(0, PAGE_SIZE)
    if len(page) < PAGE_SIZE:
        yield from reversed(page)
        return
    end = _length(at_least=PAGE_SIZE)
    while end > 0:
        start = max(0, end - PAGE_SIZE)
        page = _page(start, end - start)
        yield from reversed(page)
        if since is not None and all(transaction.date < since for transaction in page):
            return
        end = start


def _length(*, at_least: int) -> int:
    """Return how many transactions there are, asking for a few of them only."""
    low, high = at_least, 2 * at_least
    while _page(high - 1, 1):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _page(middle - 1, 1):
            low = middle
        else:
            high = middle
    return low


def _page(offset: int, limit: int) -> tuple[StarTransaction, ...]:
    return _call(lambda bot: bot.get_star_transactions(offset=offset, limit=limit)).transactions


def _call(make: Callable[[Bot], Awaitable[T]]) -> T:
    try:
        return bot_api.call(make)
    except TelegramError as error:
        raise _understood(error) from error


def _understood(error: TelegramError) -> GatewayError:
    detail = f"{type(error).__name__}: {error.message}"
    if bot_api.is_final(error):
        return GatewayRejected("Telegram refused the request.", reason=error.message, detail=detail)
    return GatewayUnavailable(detail=detail)


def _buyer(partner: TransactionPartner | None) -> TransactionPartnerUser | None:
    """Return who paid an invoice or got it back; None of a gift, an advertisement, a withdrawal."""
    if isinstance(partner, TransactionPartnerUser) and partner.transaction_type == INVOICE:
        return partner
    return None


def _payment(
    transaction: StarTransaction, buyer: TransactionPartnerUser, *, refunded: int = 0
) -> RemotePayment:
    return RemotePayment(
        id=transaction.id,
        status=RemoteStatus.SUCCEEDED,
        amount=transaction.amount,
        currency=STARS,
        shop_id="",
        is_test=False,
        created_at=transaction.date,
        refunded=refunded,
        method="stars",
        metadata={"key": buyer.invoice_payload or "", "payer": str(buyer.user.id)},
        raw=_raw(transaction, buyer),
    )


def _refund(transaction: StarTransaction, buyer: TransactionPartnerUser) -> RemoteRefund:
    return RemoteRefund(
        id=transaction.id,
        payment_id=transaction.id,
        status=RemoteStatus.SUCCEEDED,
        amount=transaction.amount,
        currency=STARS,
        created_at=transaction.date,
        raw=_raw(transaction, buyer),
    )


def _raw(transaction: StarTransaction, buyer: TransactionPartnerUser) -> dict[str, Any]:
    """Return what is kept for the record: everything but people's names."""
    return {
        "id": transaction.id,
        "amount": transaction.amount,
        "date": transaction.date.isoformat(),
        "user_id": buyer.user.id,
        "invoice_payload": buyer.invoice_payload,
    }
