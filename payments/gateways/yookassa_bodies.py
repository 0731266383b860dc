"""The bodies that YooKassa is sent, as plain JSON: built once, frozen in our row, sent as they are.

It owns the API's field names and limits and sends nothing. Limits are those of the official specification of
API v3; what our own code got wrong is a ValueError.
"""

from collections.abc import Mapping
from typing import Any

from payments.gateways.base import Receipt

CURRENCY = "RUB"
METHODS = {"card": "bank_card", "sbp": "sbp"}
PAYMENT_DESCRIPTION_LIMIT = 128
REFUND_DESCRIPTION_LIMIT = 250
ITEM_DESCRIPTION_LIMIT = 128
RETURN_URL_LIMIT = 2048
METADATA_KEYS = 16
METADATA_KEY_LIMIT = 32
METADATA_VALUE_LIMIT = 512


def payment_body(
    *,
    amount: int,
    method: str,
    description: str,
    return_url: str,
    metadata: Mapping[str, str],
    receipt: Receipt | None,
) -> dict[str, Any]:
    """Return the body of `POST /payments` for `amount` kopeks, captured as soon as it is paid."""
    if method not in METHODS:
        raise ValueError(f"YooKassa is asked for {' or '.join(METHODS)}, not for {method!r}")
    if len(return_url) > RETURN_URL_LIMIT:
        raise ValueError(f"a return address has at most {RETURN_URL_LIMIT} characters")
    body: dict[str, Any] = {
        "amount": money(amount),
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": return_url},
        "description": cut(description, PAYMENT_DESCRIPTION_LIMIT),
        "metadata": _checked(metadata),
        "payment_method_data": {"type": METHODS[method]},
    }
    return _with_receipt(body, amount, receipt)


def refund_body(
    *, payment_id: str, amount: int, description: str, metadata: Mapping[str, str], receipt: Receipt | None
) -> dict[str, Any]:
    """Return the body of `POST /refunds` for `amount` kopeks."""
    body: dict[str, Any] = {
        "amount": money(amount),
        "description": cut(description, REFUND_DESCRIPTION_LIMIT),
        "metadata": _checked(metadata),
        "payment_id": payment_id,
    }
    return _with_receipt(body, amount, receipt)


def money(kopeks: int) -> dict[str, str]:
    """Return `kopeks` as an amount: rubles in text with two decimals, never by way of a float."""
    if isinstance(kopeks, bool) or not isinstance(kopeks, int):
        raise TypeError("an amount is a whole number of kopeks")
    if kopeks <= 0:
        raise ValueError("an amount is more than nothing")
    return {"value": f"{kopeks // 100}.{kopeks % 100:02d}", "currency": CURRENCY}


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`; one outside the basic plane counts as two, as in Java."""
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore").strip()


def _with_receipt(body: dict[str, Any], amount: int, receipt: Receipt | None) -> dict[str, Any]:
    if receipt is None:
        return body
    if not receipt.email:
        raise ValueError("a receipt needs the e-mail address it is sent to")
    item = {
        "description": cut(receipt.item, ITEM_DESCRIPTION_LIMIT),
        # A number, as the specification says; the SDK sends text.
        "quantity": 1,
        "amount": money(amount),
        "vat_code": receipt.vat_code,
        "measure": "piece",
        "payment_subject": receipt.payment_subject,
        "payment_mode": receipt.payment_mode,
    }
    content: dict[str, Any] = {"customer": {"email": receipt.email}, "items": [item]}
    if receipt.tax_system_code is not None:
        content["tax_system_code"] = receipt.tax_system_code
    return body | {"receipt": content}


def _checked(metadata: Mapping[str, str]) -> dict[str, str]:
    if len(metadata) > METADATA_KEYS:
        raise ValueError(f"metadata has at most {METADATA_KEYS} keys")
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise TypeError(f"the metadata value of {name!r} is not text")
        if len(name) > METADATA_KEY_LIMIT or len(value) > METADATA_VALUE_LIMIT:
            raise ValueError(f"the metadata of {name!r} is too long")
    return dict(metadata)
