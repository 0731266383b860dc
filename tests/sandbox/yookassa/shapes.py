"""What YooKassa's OpenAPI specification promises of its answers, as far as this project reads them."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

Check = Callable[[Any], object]

AMOUNT = re.compile(r"\d+\.\d{2}", re.ASCII)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
PARTIES = {"yoo_money", "payment_network", "merchant"}
ERROR_CODES = {
    400: "invalid_request",
    401: "invalid_credentials",
    403: "forbidden",
    404: "not_found",
    429: "too_many_requests",
    500: "internal_server_error",
}


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*known: str) -> Check:
    return lambda value: value in known


def _id(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 36


def _money(value: Any) -> bool:
    return set(value) == {"value", "currency"} and bool(AMOUNT.fullmatch(value["value"]))


def _moment(value: Any) -> bool:
    return bool(MOMENT.fullmatch(value)) and datetime.fromisoformat(value).tzinfo is not None


def _metadata(value: Any) -> bool:
    return len(value) <= 16 and all(isinstance(item, str | None) for item in value.values())


def _has(required: set[str], allowed: set[str]) -> Check:
    return lambda value: required <= set(value) <= required | allowed


def _confirmation(value: Any) -> bool:
    needs = {"redirect": "confirmation_url", "qr": "confirmation_data", "embedded": "confirmation_token"}
    return value["type"] not in needs or _text(value[needs[value["type"]]])


def _payment_method(value: Any) -> bool:
    if not {"type", "id", "saved", "status"} <= set(value) or value["status"] not in ("pending", "inactive"):
        return False
    card = value.get("card")
    return card is None or {"last4", "expiry_year", "expiry_month", "card_type"} <= set(card)


PAYMENT_REQUIRED: dict[str, Check] = {
    "id": _id,
    "status": _one_of("pending", "waiting_for_capture", "succeeded", "canceled"),
    "amount": _money,
    "created_at": _moment,
    "paid": _truth,
    "test": _truth,
    "refundable": _truth,
    "recipient": _has({"account_id", "gateway_id"}, set()),
}
PAYMENT_OPTIONAL: dict[str, Check] = {
    "income_amount": _money,
    "description": lambda value: len(value) <= 128,
    "payment_method": _payment_method,
    "captured_at": _moment,
    "expires_at": _moment,
    "confirmation": _confirmation,
    "refunded_amount": _money,
    "receipt_registration": _one_of("pending", "succeeded", "canceled"),
    "metadata": _metadata,
    "cancellation_details": lambda value: set(value) == {"party", "reason"} and value["party"] in PARTIES,
    "authorization_details": _has({"three_d_secure"}, {"rrn", "auth_code"}),
    "merchant_customer_id": _text,
}
REFUND_REQUIRED: dict[str, Check] = {
    "id": _id,
    "payment_id": _id,
    "amount": _money,
    "status": _one_of("pending", "succeeded", "canceled"),
    "created_at": _moment,
}
REFUND_OPTIONAL: dict[str, Check] = {
    "description": lambda value: len(value) <= 250,
    "receipt_registration": _one_of("pending", "succeeded", "canceled"),
    "metadata": _metadata,
    "cancellation_details": _has({"party", "reason"}, set()),
    "refund_method": _has({"type"}, {"sbp_operation_id"}),
    "refund_authorization_details": _has(set(), {"rrn"}),
}
ME_REQUIRED: dict[str, Check] = {
    "account_id": _text,
    "test": _truth,
    "status": _one_of("enabled", "disabled"),
}
ME_OPTIONAL: dict[str, Check] = {
    "fiscalization": _has({"enabled"}, {"provider"}),
    "fiscalization_enabled": _truth,
    "payment_methods": lambda value: all(isinstance(item, str) for item in value),
    "itn": lambda value: re.fullmatch(r"\d{1,20}", value),
}


def check_payment(body: dict[str, Any]) -> None:
    """Fail unless a body is a Payment whose parts fit each other."""
    _check(body, PAYMENT_REQUIRED, PAYMENT_OPTIONAL)
    status = body["status"]
    assert body["paid"] == (status in ("succeeded", "waiting_for_capture")), body
    assert ("cancellation_details" in body) == (status == "canceled"), body
    assert ("captured_at" in body) == (status == "succeeded"), body
    assert ("expires_at" in body) == (status == "waiting_for_capture"), body
    assert ("confirmation" in body) == (status == "pending"), body
    if status == "succeeded":
        method = body["payment_method"]
        assert method["type"] != "sbp" or {"sbp_operation_id", "payer_bank_details"} <= set(method), body


def check_refund(body: dict[str, Any]) -> None:
    """Fail unless a body is a Refund."""
    _check(body, REFUND_REQUIRED, REFUND_OPTIONAL)
    assert ("cancellation_details" in body) == (body["status"] == "canceled"), body


def check_me(body: dict[str, Any]) -> None:
    """Fail unless a body is a Me."""
    _check(body, ME_REQUIRED, ME_OPTIONAL)


def check_list(body: dict[str, Any], check_item: Callable[[dict[str, Any]], None]) -> None:
    """Fail unless a body is a list of what `check_item` accepts, newest first."""
    assert body["type"] == "list"
    assert set(body) <= {"type", "items", "next_cursor"}, body
    for item in body["items"]:
        check_item(item)
    created = [item["created_at"] for item in body["items"]]
    assert created == sorted(created, reverse=True)


def check_error(body: dict[str, Any], status: int) -> None:
    """Fail unless a body is an Error that belongs to the HTTP status."""
    assert {"type", "id", "code", "description"} <= set(body), body
    assert set(body) <= {"type", "id", "code", "description", "parameter", "retry_after"}, body
    assert (body["type"], body["code"]) == ("error", ERROR_CODES[status])
    assert _id(body["id"])


def _check(body: dict[str, Any], required: dict[str, Check], optional: dict[str, Check]) -> None:
    assert set(required) <= set(body) <= set(required) | set(optional), body
    for name, value in body.items():
        assert (required | optional)[name](value), f"{name}: {value!r}"
