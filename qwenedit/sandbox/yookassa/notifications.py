"""Notifications that no event caused: repeated, old, forged, broken.

Owns: how such a body is made. How it is sent is known to `webhooks`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from qwenedit.sandbox.yookassa.records import Payment, Refund
from qwenedit.sandbox.yookassa.webhooks import notification

SHAPES = ("whole", "truncated", "huge", "not_json", "empty")
HUGE = 5_000_000


def as_it_was(payment: Payment, status: str) -> dict[str, Any]:
    """Return the Payment object from the time when its status was an earlier one."""
    younger = dataclasses.replace(
        payment, status=status, refunded=0, receipt_registration=None, captured_at=None
    )
    if status == "pending":
        younger = dataclasses.replace(younger, paid=False, method=None, authorization=None, cancellation=None)
    elif status in ("waiting_for_capture", "succeeded"):
        captured_at = payment.captured_at if status == "succeeded" else None
        younger = dataclasses.replace(younger, paid=True, cancellation=None, captured_at=captured_at)
    return younger.body()


def object_of(record: Payment | Refund, status: str | None) -> dict[str, Any]:
    """Return the object of a notification, as it is or as it was in an earlier status."""
    if status is not None and isinstance(record, Payment):
        return as_it_was(record, status)
    return record.body() | ({"status": status} if status is not None else {})


def usual_event(obj: Mapping[str, Any]) -> str:
    """Return the event that belongs to an object in its status."""
    kind = "refund" if "payment_id" in obj else "payment"
    return f"{kind}.{obj.get('status')}"


def changed(obj: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with changes, objects within merged."""
    result = dict(obj)
    for name, value in changes.items():
        present = result.get(name)
        result[name] = (
            changed(present, value) if isinstance(value, dict) and isinstance(present, dict) else value
        )
    return result


def body_of(event: str, obj: Mapping[str, Any], shape: str, size: int) -> bytes:
    """Return the bytes of a notification in one of SHAPES; a huge one has at least `size`."""
    match shape:
        case "truncated":
            whole = notification(event, obj)
            return whole[: len(whole) // 2]
        case "huge":
            return notification(event, dict(obj) | {"description": "A" * size})
        case "not_json":
            return b"<html><body>not a notification</body></html>"
        case "empty":
            return b""
        case _:
            return notification(event, obj)
