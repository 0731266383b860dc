"""Finding the order that a button is about: only its owner's presses count."""

from __future__ import annotations

from botapp.models import Order
from botapp.turn import Turn


def own_order(turn: Turn) -> Order | None:
    """Return the order that a button names, if it is of whoever pressed it; else say so."""
    name = turn.argument.partition(":")[0]
    orders = Order.objects.filter(chat=turn.chat).select_related("job", "preset", "chat__user")
    order = orders.filter(pk=int(name)).first() if name.isdecimal() else None
    if order is None:
        turn.acknowledge(turn.texts("results.not_yours"))
    return order
