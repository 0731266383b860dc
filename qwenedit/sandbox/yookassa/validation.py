"""Is this request one that YooKassa would accept?

Owns: lengths, forms and limits of the fields, taken from the OpenAPI specification of the API v3. Must not
know what becomes of a request. Everything here raises `errors.Refusal` with status 400 or 403.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from qwenedit.sandbox.yookassa.errors import Refusal, invalid
from qwenedit.sandbox.yookassa.receipts import check_receipt
from qwenedit.sandbox.yookassa.shop import LIMITS, SMALLEST, Shop

AMOUNT = re.compile(r"\d{1,10}\.\d{2}", re.ASCII)
KEY_LENGTH = 64
KEY = re.compile(rf"[0-9a-zA-Z+\-_.]{{1,{KEY_LENGTH}}}", re.ASCII)
CURRENCIES = ("RUB", "EUR", "USD", "KZT", "BYN", "UAH", "UZS", "TRY", "INR", "MDL", "AZN", "AMD")
METADATA_KEYS = 16
METADATA_KEY_LENGTH = 32
METADATA_VALUE_LENGTH = 512
URL_LENGTH = 2048
CONFIRMATIONS = ("redirect", "external", "qr", "embedded", "mobile_application")
CONFIRMATIONS_WITH_URL = ("redirect", "mobile_application")
METHODS = (
    "bank_card", "cash", "sberbank", "tinkoff_bank", "yoo_money", "mobile_balance", "b2b_sberbank", "sbp",
    "sber_loan", "electronic_certificate", "sber_bnpl", "alfa_pay",
)  # fmt: skip

BAD_AMOUNT = "Error in the payment amount. Specify the amount in correct format. For example, 100.00"
NO_RECURRING = (
    "This store can't make recurring payments. Contact the YooMoney manager to learn more about this feature"
)


@dataclass(frozen=True)
class PaymentRequest:
    """A body of POST /payments that was found right. `amount` is in 1/100 of the currency."""

    amount: int
    currency: str
    capture: bool
    method: str | None
    confirmation: dict[str, Any]
    description: str | None
    metadata: dict[str, str | None] | None
    merchant_customer_id: str | None
    receipt: dict[str, Any] | None


@dataclass(frozen=True)
class RefundRequest:
    """A body of POST /refunds that was found right. `amount` is in 1/100 of the currency."""

    payment_id: str
    amount: int
    currency: str
    description: str | None
    metadata: dict[str, str | None] | None
    receipt: dict[str, Any] | None


def read_key(value: str | None) -> str:
    """Return the idempotence key of a request."""
    if not value:
        raise invalid("Idempotence-Key", "Idempotence key is empty")
    if len(value) > KEY_LENGTH:
        raise invalid("Idempotence-Key", "Idempotence key is too long")
    if not KEY.fullmatch(value):
        raise invalid("Idempotence-Key")
    return value


def read_payment(body: Mapping[str, Any], shop: Shop) -> PaymentRequest:
    """Return what a body of POST /payments asks for."""
    amount, currency = read_amount(body, shop)
    capture = _typed(body, "capture", bool) or False
    method = _method(body, shop, amount=amount, capture=capture)
    confirmation = _confirmation(body)
    receipt = _typed(body, "receipt", dict)
    check_receipt(receipt, amount, currency, shop)
    return PaymentRequest(
        amount=amount,
        currency=currency,
        capture=capture,
        method=method,
        confirmation=confirmation,
        description=_text(body, "description", 128),
        metadata=read_metadata(body),
        merchant_customer_id=_text(body, "merchant_customer_id", 200),
        receipt=receipt,
    )


def read_refund(body: Mapping[str, Any], shop: Shop) -> RefundRequest:
    """Return what a body of POST /refunds asks for; its receipt is checked once the payment is known."""
    payment_id = _text(body, "payment_id", 36)
    if payment_id is None:
        raise invalid("payment_id")
    amount, currency = read_amount(body, shop, smallest=1)
    return RefundRequest(
        payment_id=payment_id,
        amount=amount,
        currency=currency,
        description=_text(body, "description", 250),
        metadata=read_metadata(body),
        receipt=_typed(body, "receipt", dict),
    )


def read_amount(body: Mapping[str, Any], shop: Shop, *, smallest: int = SMALLEST) -> tuple[int, str]:
    """Return the amount in 1/100 of its currency, and the currency."""
    amount = _typed(body, "amount", dict)
    if amount is None:
        raise invalid("amount")
    value, currency = amount.get("value"), amount.get("currency")
    if not isinstance(value, str) or not AMOUNT.fullmatch(value):
        raise invalid("amount.value", BAD_AMOUNT)
    if currency not in CURRENCIES:
        raise invalid("amount.currency")
    if currency != shop.currency:
        raise invalid("amount.currency", "Currencies do not match")
    hundredths = int(value.replace(".", ""))
    if hundredths < smallest:
        raise invalid("amount.value", BAD_AMOUNT)
    return hundredths, str(currency)


def read_metadata(body: Mapping[str, Any]) -> dict[str, str | None] | None:
    """Return the metadata, or None if there is none."""
    metadata: dict[str, str | None] | None = _typed(body, "metadata", dict)
    if metadata is None:
        return None
    if len(metadata) > METADATA_KEYS:
        raise invalid("metadata", f"Metadata object is limited to {METADATA_KEYS} keys")
    for name, value in metadata.items():
        if len(name) > METADATA_KEY_LENGTH:
            raise invalid("metadata", f"Metadata key is limited to {METADATA_KEY_LENGTH} characters")
        if value is not None and not isinstance(value, str):
            raise invalid(f"metadata.{name}")
        if len(value or "") > METADATA_VALUE_LENGTH:
            raise invalid(
                f"metadata.{name}", f"Metadata value is limited to {METADATA_VALUE_LENGTH} characters"
            )
    return metadata


def read_moment(name: str, value: str) -> float:
    """Return the time that a filter of a list names, in seconds since 1970; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise invalid(name) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _method(body: Mapping[str, Any], shop: Shop, *, amount: int, capture: bool) -> str | None:
    if body.get("save_payment_method") or body.get("payment_method_id"):
        raise Refusal(403, NO_RECURRING)
    if body.get("payment_token"):
        raise invalid("payment_token")
    data = _typed(body, "payment_method_data", dict)
    if data is None:
        largest = max(LIMITS[name] for name in shop.methods)
        _check_limit(amount, largest)
        return None
    method = data.get("type")
    if method not in METHODS:
        raise invalid("payment_method_data.type")
    if method not in shop.methods:
        raise invalid("payment_method_data.type", "Payment method is not available")
    if method == "sbp" and not capture:
        raise invalid("capture", "Payment method does not support two-stage payments")
    _check_limit(amount, LIMITS[method])
    return str(method)


def _check_limit(amount: int, largest: int) -> None:
    if amount > largest:
        raise invalid("amount.value", "Payment amount exceeds the limit of the payment method")


def _confirmation(body: Mapping[str, Any]) -> dict[str, Any]:
    confirmation = _typed(body, "confirmation", dict)
    if confirmation is None:
        raise invalid(
            "confirmation", "Missing payment data (payment_method_data, payment_method_id, or payment_token)"
        )
    kind = confirmation.get("type")
    if kind is None:
        raise invalid("confirmation.type", "Missing confirmation type")
    if kind not in CONFIRMATIONS:
        raise invalid("confirmation.type")
    kept: dict[str, Any] = {"type": kind}
    url = _text(confirmation, "return_url", URL_LENGTH, "confirmation.")
    if url is not None:
        kept["return_url"] = _check_url(url)
    elif kind in CONFIRMATIONS_WITH_URL:
        raise invalid("confirmation.return_url")
    enforce = _typed(confirmation, "enforce", bool, "confirmation.")
    return kept if enforce is None else kept | {"enforce": enforce}


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise invalid("confirmation.return_url") from None
    if (
        not parts.scheme
        or not (parts.netloc or parts.path)
        or parts.scheme in ("javascript", "data", "vbscript")
    ):
        raise invalid("confirmation.return_url")
    return url


def _text(body: Mapping[str, Any], name: str, length: int, prefix: str = "") -> str | None:
    text: str | None = _typed(body, name, str, prefix)
    if text is not None and len(text) > length:
        raise invalid(prefix + name, f"Value is limited to {length} characters")
    return text


def _typed(body: Mapping[str, Any], name: str, kind: type, prefix: str = "") -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        raise invalid(prefix + name)
    return value
