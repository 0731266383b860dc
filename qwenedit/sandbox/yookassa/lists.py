"""Lists of payments and refunds: filters, pages, cursors; newest first.

Owns: the query of GET /payments and GET /refunds. Raises `errors.Refusal` for one that cannot be read.
A cursor names the last object of the page before, so that objects made in between move no page.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qwenedit.sandbox.yookassa.errors import invalid
from qwenedit.sandbox.yookassa.records import Payment, Refund
from qwenedit.sandbox.yookassa.validation import METHODS, read_moment

DEFAULT_LIMIT = 10
LARGEST_LIMIT = 100
PAYMENT_STATUSES = ("pending", "waiting_for_capture", "succeeded", "canceled")
REFUND_STATUSES = ("pending", "succeeded", "canceled")
COMPARISONS = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}

Test = Callable[[Any], bool]


def payment_tests(query: Mapping[str, str]) -> list[Test]:
    """Return the conditions that a query sets to payments."""
    tests = [*_time_tests(query, "created_at"), *_time_tests(query, "captured_at")]
    tests += _choice(query, "status", PAYMENT_STATUSES, lambda payment: payment.status)
    tests += _choice(query, "payment_method", METHODS, lambda payment: (payment.method or {}).get("type"))
    return tests


def refund_tests(query: Mapping[str, str]) -> list[Test]:
    """Return the conditions that a query sets to refunds."""
    tests = _time_tests(query, "created_at")
    tests += _choice(query, "status", REFUND_STATUSES, lambda refund: refund.status)
    payment_id = query.get("payment_id")
    if payment_id:
        tests.append(lambda refund: refund.payment_id == payment_id)
    return tests


def page(
    records: Iterable[Payment | Refund], tests: list[Test], query: Mapping[str, str], now: float
) -> dict[str, Any]:
    """Return one page of records, given newest first, that pass every test."""
    limit = _limit(query)
    found = [
        record for record in records if record.hidden_until <= now and all(passes(record) for passes in tests)
    ]
    start = _start(found, query.get("cursor"))
    shown = found[start : start + limit]
    body: dict[str, Any] = {"type": "list", "items": [record.body() for record in shown]}
    return body | ({"next_cursor": shown[-1].id} if start + limit < len(found) else {})


def _start(found: list[Payment | Refund], cursor: str | None) -> int:
    if not cursor:
        return 0
    for position, record in enumerate(found):
        if record.id == cursor:
            return position + 1
    raise invalid("cursor")


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= LARGEST_LIMIT:
        raise invalid("limit")
    return int(text)


def _time_tests(query: Mapping[str, str], field: str) -> list[Test]:
    tests: list[Test] = []
    for suffix, compare in COMPARISONS.items():
        name = f"{field}.{suffix}"
        if name in query:
            tests.append(_time_test(field, compare, read_moment(name, query[name])))
    return tests


def _time_test(field: str, compare: Callable[[float, float], bool], border: float) -> Test:
    def passes(record: Payment | Refund) -> bool:
        value = getattr(record, field)
        return value is not None and compare(value, border)

    return passes


def _choice(
    query: Mapping[str, str], name: str, known: tuple[str, ...], value_of: Callable[[Any], str | None]
) -> list[Test]:
    wanted = query.get(name)
    if wanted is None:
        return []
    if wanted not in known:
        raise invalid(name)
    return [lambda record: value_of(record) == wanted]
