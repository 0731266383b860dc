"""What YooKassa's objects say, in our types, read from its own JSON.

It owns the reading and asks nobody. Enumerations other than the status are open, as YooKassa's are, and are
kept in its words. An object without what the specification promises is GatewayUnavailable: nothing that is
guessed may move money.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payments.gateways.base import GatewayUnavailable, RemotePayment, RemoteRefund, RemoteStatus
from payments.gateways.yookassa_bodies import METHODS

# Fifteen digits of rubles are below what a 64-bit column of kopeks can hold.
AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,2}))?")
OUR_METHODS = {theirs: ours for ours, theirs in METHODS.items()}
REFUND_STATUSES = {RemoteStatus.PENDING, RemoteStatus.SUCCEEDED, RemoteStatus.CANCELED}


@dataclass(frozen=True, slots=True)
class Shop:
    """What YooKassa says of the shop whose key asks."""

    account_id: str
    is_enabled: bool
    is_test: bool
    sends_receipts: bool
    payment_methods: tuple[str, ...]


def read_payment(content: Mapping[str, Any]) -> RemotePayment:
    """Return a payment object in our types. Raises GatewayUnavailable for one that cannot be understood."""
    amount, currency = _money(content, "amount")
    refunded, refunded_currency = 0, currency
    if content.get("refunded_amount") is not None:
        refunded, refunded_currency = _money(content, "refunded_amount")
    if refunded_currency != currency:
        raise unreadable("refunded_amount.currency", content)
    method = _word(content, "payment_method.type")
    return RemotePayment(
        id=_text(content, "id"),
        status=_status(content),
        amount=amount,
        currency=currency,
        shop_id=_text(content, "recipient.account_id"),
        is_test=_flag(content, "test"),
        created_at=_moment(content, "created_at"),
        refunded=refunded,
        confirmation_url=_confirmation_url(content),
        method=OUR_METHODS.get(method, method),
        cancellation_party=_word(content, "cancellation_details.party"),
        cancellation_reason=_word(content, "cancellation_details.reason"),
        receipt_registration=_word(content, "receipt_registration"),
        metadata=_metadata(content),
        raw=content,
    )


def read_refund(content: Mapping[str, Any]) -> RemoteRefund:
    """Return a refund object in our types. Raises GatewayUnavailable for one that cannot be understood."""
    amount, currency = _money(content, "amount")
    status = _status(content)
    if status not in REFUND_STATUSES:
        raise unreadable("status", content)
    return RemoteRefund(
        id=_text(content, "id"),
        payment_id=_text(content, "payment_id"),
        status=status,
        amount=amount,
        currency=currency,
        created_at=_moment(content, "created_at"),
        cancellation_reason=_word(content, "cancellation_details.reason"),
        metadata=_metadata(content),
        raw=content,
    )


def read_shop(content: Mapping[str, Any]) -> Shop:
    """Return the answer of `GET /me` in our types. Raises GatewayUnavailable."""
    methods = content.get("payment_methods")
    return Shop(
        account_id=_text(content, "account_id"),
        is_enabled=_text(content, "status") == "enabled",
        is_test=_flag(content, "test"),
        sends_receipts=True in (_at(content, "fiscalization.enabled"), content.get("fiscalization_enabled")),
        payment_methods=tuple(name for name in methods if isinstance(name, str))
        if isinstance(methods, list)
        else (),
    )


def read_page(content: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], str]:
    """Return the objects of a page, and the cursor of the next or nothing. Raises GatewayUnavailable."""
    items, cursor = content.get("items"), content.get("next_cursor")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise unreadable("items", content)
    if cursor is not None and not isinstance(cursor, str):
        raise unreadable("next_cursor", content)
    return items, cursor or ""


def kopeks(value: str) -> int | None:
    """Return rubles in text (`"1000.00"`) as kopeks, exactly, or None when it is no such amount."""
    if not (match := AMOUNT.fullmatch(value)):
        return None
    rubles, cents = match.groups(default="")
    return int(rubles) * 100 + int(cents.ljust(2, "0"))


def unreadable(path: str, content: Mapping[str, Any]) -> GatewayUnavailable:
    """Return the error of an object whose field at `path` cannot be understood; the detail names both."""
    return GatewayUnavailable(
        "The payment service's answer could not be understood.",
        detail=f"unreadable {path} of {content.get('id')!r:.80}: {_at(content, path)!r:.200}",
    )


def _at(content: Mapping[str, Any], path: str) -> Any:
    value: Any = content
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(content: Mapping[str, Any], path: str) -> str:
    value = _at(content, path)
    if not isinstance(value, str) or not value:
        raise unreadable(path, content)
    return value


def _flag(content: Mapping[str, Any], path: str) -> bool:
    value = _at(content, path)
    if not isinstance(value, bool):
        raise unreadable(path, content)
    return value


def _word(content: Mapping[str, Any], path: str) -> str:
    value = _at(content, path)
    return value if isinstance(value, str) else ""


def _money(content: Mapping[str, Any], path: str) -> tuple[int, str]:
    value = kopeks(_text(content, f"{path}.value"))
    if value is None:
        raise unreadable(f"{path}.value", content)
    return value, _text(content, f"{path}.currency")


def _status(content: Mapping[str, Any]) -> RemoteStatus:
    try:
        return RemoteStatus(_text(content, "status"))
    except ValueError:
        raise unreadable("status", content) from None


def _moment(content: Mapping[str, Any], name: str) -> datetime:
    try:
        value = datetime.fromisoformat(_text(content, name))
    except ValueError:
        raise unreadable(name, content) from None
    if value.tzinfo is None:
        raise unreadable(name, content)
    return value


def _confirmation_url(content: Mapping[str, Any]) -> str:
    url = _word(content, "confirmation.confirmation_url")
    if url and not url.startswith(("https://", "http://")):
        raise unreadable("confirmation.confirmation_url", content)
    return url


def _metadata(content: Mapping[str, Any]) -> dict[str, str]:
    metadata = content.get("metadata")
    if not isinstance(metadata, Mapping):
        return {}
    return {name: value for name, value in metadata.items() if isinstance(value, str)}
