"""The buttons of an order that is not finished: confirm it, drop it, cancel it."""

from __future__ import annotations

from botapp.conversation.drafts import Draft, order_key
from botapp.handlers import drafting, menu
from botapp.handlers.own_orders import own_order
from botapp.models import Order
from botapp.orders import placing, reasons
from botapp.orders.placing import Cancelled
from botapp.turn import Turn
from qwenedit.errors import DomainError


def confirm(turn: Turn) -> None:
    """Make an order of what a confirm screen shows, in that screen's place. Two presses make one order."""
    order = Order.objects.filter(chat=turn.chat, key=order_key(turn.chat, turn.argument)).first()
    if order is not None and order.shown:
        turn.acknowledge(turn.texts("edit.already"))
        return
    order = order or _order(turn)
    if order is None:
        return
    if Draft.of(turn.chat).ident == turn.argument:
        turn.forget()
    turn.acknowledge()
    placing.announce(order)


def by_words(turn: Turn) -> None:
    """Let the words that came beside the photo be confirmed, instead of the preset that it was for."""
    draft = Draft.of(turn.chat)
    if not draft.prompt or turn.argument != draft.ident:
        turn.acknowledge(turn.texts("edit.outdated"), alert=True)
        return
    drafting.confirm(turn, draft.with_words(draft.prompt))


def drop(turn: Turn) -> None:
    """Forget the draft. A screen that is out of date says so, and drops nothing else."""
    if turn.argument and turn.argument != Draft.of(turn.chat).ident:
        turn.acknowledge(turn.texts("edit.outdated"), alert=True)
        return
    turn.forget()
    turn.show(turn.texts("edit.dropped"), menu.to_menu(turn))


def cancel(turn: Turn) -> None:
    """Cancel an order while that is possible; its points come back at once."""
    order, texts = own_order(turn), turn.texts
    if order is None:
        return
    answers = {
        Cancelled.FREE: texts("edit.cancel_free"),
        Cancelled.REFUNDED: texts("edit.cancel_refunded"),
        Cancelled.SOON: texts("edit.cancel_soon"),
        Cancelled.TOO_LATE: texts("edit.cancel_too_late"),
    }
    turn.acknowledge(answers[placing.cancel(order)])


def _order(turn: Turn) -> Order | None:
    """Place the order of the draft; None, and why, where that can not be."""
    draft, message = Draft.of(turn.chat), turn.message
    preset = draft.preset()
    photos, left_out = draft.taken(preset)
    is_there = preset is not None if draft.preset_id is not None else bool(draft.prompt)
    if not draft.ident or draft.ident != turn.argument or not is_there:
        turn.acknowledge(turn.texts("edit.outdated"), alert=True)
        return None
    try:
        return placing.place_order(
            chat=turn.chat,
            key=order_key(turn.chat, draft.ident),
            photos=photos,
            preset=preset,
            prompt="" if preset else draft.prompt,
            left_out=left_out,
            message_id=message.message_id if message and message.text else None,
        )
    except DomainError as error:
        turn.acknowledge(reasons.of_error(turn.texts, error), alert=True)
        return None
