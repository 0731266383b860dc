"""Orders as people place and cancel them. Placed in the chat at once; a worker makes the job (`submitting`).

    place_order ─▶ row, held ─▶ announce: "accepted" ─▶ wake-up ─▶ a worker
                        └─── its process died: the lease runs out ───▶┘

Nothing is charged here. Knows no updates and no buttons.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import ClassVar

from botapp.conversation.drafts import wish_of
from botapp.conversation.incoming_photos import Photo
from botapp.models import Chat, Order, OrderStatus
from botapp.orders import leases, submitting, wording
from botapp.orders.display import tell
from botapp.texts import Texts
from botapp.wakeups import wake_orders
from jobs.models import Preset
from jobs.services import cancel_job
from jobs.states import JobStatus
from payments.ledger import InsufficientPoints
from qwenedit.errors import DomainError
from qwenedit.lib.compiled import CompiledInsert


class PresetGone(DomainError):
    """The preset was taken off the menu."""

    code: ClassVar[str] = "preset_gone"


class Cancelled(Enum):
    """What became of a wish to cancel."""

    FREE = auto()  # nothing had been charged
    REFUNDED = auto()
    SOON = auto()  # it is being submitted at this very moment
    TOO_LATE = auto()


def place_order(
    *,
    chat: Chat,
    key: str,
    photos: list[Photo],
    preset: Preset | None = None,
    prompt: str = "",
    left_out: int = 0,
    message_id: int | None = None,
) -> Order:
    """Take an order for a preset, or for words that were checked. The same key returns the first order.

    A new one is held by the caller, who announces it. `message_id` is a message of ours that becomes the
    order's; without it one is sent. Nothing is charged.
    Raises PresetGone, InvalidRequest or InsufficientPoints; then there is no order.
    """
    try:
        _check(chat, preset, prompt, photos=len(photos))
    except DomainError:
        earlier = Order.objects.filter(key=key).first()
        if earlier is None:
            raise
        return earlier
    order = Order(
        key=key,
        chat=chat,
        preset=preset,
        prompt=prompt,
        photos=[dict(photo) for photo in photos],
        left_out=left_out,
        message_id=message_id,
        **leases.fresh(),
    )
    if not _insert(order):  # the same again
        return Order.objects.get(key=key)
    order.held_as = order.lease_token
    return order


_insert = CompiledInsert(Order, once=True)


def _check(chat: Chat, preset: Preset | None, prompt: str, *, photos: int) -> None:
    wish = wish_of(preset, prompt)
    if preset is not None and not preset.is_active:
        raise PresetGone("This preset is no longer on offer.")
    wish.check(photos=photos)
    balance = chat.user.balance  # to spare people the wait: `submit_job` looks again, under the lock
    if balance < wish.price:
        raise InsufficientPoints("Not enough points.", balance=balance, required=wish.price)


def announce(order: Order) -> None:
    """Say that an order was accepted, and wake a worker.

    Repeating it says nothing twice. Raises TelegramError; the order is made all the same.
    """
    try:
        with leases.held_unchanged(order, status=OrderStatus.ACCEPTED, shown="") as is_mine:
            if is_mine:
                content = wording.accepted(Texts(order.chat.user.language), order)
                tell(order, content, must_be_seen=True, is_last=True)
    finally:
        wake_orders()


def cancel(order: Order) -> Cancelled:
    """Cancel an order, with its points back at once where they were taken. Raises TelegramError.

    An order that is being submitted right now is cancelled by whoever does that.
    """
    accepted = Order.objects.filter(pk=order.pk, status=OrderStatus.ACCEPTED)
    if accepted.update(is_cancel_wanted=True):
        with leases.held(order.pk) as mine:
            if mine is not None and mine.status == OrderStatus.ACCEPTED:
                submitting.drop(mine)
    now = Order.objects.select_related("job").get(pk=order.pk)
    if now.job is not None:
        job = cancel_job(job=now.job)
        return Cancelled.REFUNDED if job.status == JobStatus.CANCELLED else Cancelled.TOO_LATE
    if now.status == OrderStatus.ACCEPTED:
        return Cancelled.SOON
    return Cancelled.FREE if now.status == OrderStatus.CANCELLED else Cancelled.TOO_LATE
