"""The right to act on an order and to talk about it: one thread of one process at a time.

Two at once would overwrite each other's words, as a late "40 %" over the finished picture. A lease that its
holder does not give back, because its process died, runs out.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from botapp.models import Order
from qwenedit.lib.compiled import Compiled, CompiledUpdate

LEASE = timedelta(seconds=40)
ASK_AGAIN = 0.05  # seconds


class LeaseLost(Exception):
    """The lease ran out and somebody else took it."""


@contextmanager
def held(order_id: int, *, patience: float = 0.0) -> Iterator[Order | None]:
    """Hold an order for the length of a block; None where it is not free within `patience` seconds."""
    token = uuid.uuid4()
    give_up_at = time.monotonic() + patience
    while not _take(order_id, token):
        if time.monotonic() >= give_up_at:
            yield None
            return
        time.sleep(ASK_AGAIN)
    try:
        yield _order(order_id)[0]
    finally:
        _give_back(order_id, token)


def fresh() -> dict[str, object]:
    """Return the fields of a lease for an order that is about to be made: its maker holds it."""
    return {"lease_token": uuid.uuid4(), "lease_until": timezone.now() + LEASE}


def free(now: datetime) -> Q:
    """Return what is true of an order that nobody holds."""
    return Q(lease_token__isnull=True) | Q(lease_until__lte=now)


@contextmanager
def held_unchanged(order: Order, **fields: object) -> Iterator[bool]:
    """Hold an order for the length of a block; tell whether it is ours and still as it was read.

    `fields` are those that matter to the block: the order is not read again. One that this process has just
    made is held already.
    """
    if order.held_as is None:
        token = uuid.uuid4()
        if not _take(order.pk, token, **fields):
            yield False
            return
        order.held_as = token
    try:
        yield True
    finally:
        if order.held_as is not None:  # else its last word gave it back
            _give_back(order.pk, order.held_as)
            order.held_as = None


def renew(order: Order) -> None:
    """Hold on to an order for another while. Raises LeaseLost."""
    mine = Order.objects.filter(pk=order.pk, lease_token=order.lease_token)
    if not mine.update(lease_until=timezone.now() + LEASE):
        raise LeaseLost(f"order {order.pk}")


def _take(order_id: int, token: uuid.UUID, **fields: object) -> bool:
    now = timezone.now()
    if not fields:
        return bool(_take_free(order_id, token, now, now + LEASE))
    wanted = Order.objects.filter(free(now), pk=order_id, **fields)
    return bool(wanted.update(lease_token=token, lease_until=now + LEASE))


_order = Compiled(lambda order: Order.objects.filter(pk=order).select_related("chat__user", "preset", "job"))
_take_free = CompiledUpdate(
    lambda order, token, now, until: (
        Order.objects.filter(free(now), pk=order),
        {"lease_token": token, "lease_until": until},
    )
)
_give_back = CompiledUpdate(
    lambda order, token: (
        Order.objects.filter(pk=order, lease_token=token),
        {"lease_token": None, "lease_until": None},
    )
)
