"""From an order to a job: placed in the chat at once, its photos fetched and its job submitted by a worker.

    place_order ─▶ row ─▶ announce: "accepted" ─▶ wake-up ─▶ place: photos from Telegram ─▶ submit_job ─▶ link
                    └──────────── sweep: whatever a process left behind ──▶┘

Points are charged by `submit_job` and never before it; the idempotency key is made of the order's key, so an
order becomes one job however often it is placed. Knows no updates and no buttons.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import ClassVar

import structlog
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.utils import timezone
from telegram.error import BadRequest, Forbidden, RetryAfter, TelegramError

from botapp.conversation.drafts import wish_of
from botapp.conversation.incoming_photos import Photo
from botapp.models import Chat, Order, OrderStatus
from botapp.orders import leases, wording
from botapp.orders.display import tell
from botapp.orders.inputs import PhotosUnavailable, read_photo
from botapp.orders.wording import Content
from botapp.outbox import pace
from botapp.texts import Texts
from botapp.wakeups import wake_order
from jobs.estimates import estimate
from jobs.models import Job, Preset
from jobs.services import cancel_job, submit_job
from jobs.states import JobStatus
from payments.ledger import InsufficientPoints
from qwenedit import bot_api
from qwenedit.errors import DomainError

logger = structlog.get_logger(__name__)

# How long the process that took an order has to place it, before the sweep does.
GRACE = timedelta(seconds=10)
PAUSES = tuple(timedelta(seconds=s) for s in (2, 5, 15, 30, 60))
MOST_TRIES = 6
SWEPT_AGAIN = timedelta(seconds=30)
MOST_SWEPT = 200
MISTAKE = "a mistake of ours: "


class NotMade(DomainError):
    """A mistake of ours, again and again."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = True


class PresetGone(DomainError):
    """The preset was taken off the menu."""

    code: ClassVar[str] = "preset_gone"


class Cancelled(Enum):
    """What became of a wish to cancel."""

    FREE = auto()  # nothing had been charged
    REFUNDED = auto()
    SOON = auto()  # it is being submitted at this very moment
    TOO_LATE = auto()


def idempotency_key(order: Order) -> str:
    """Return the name under which an order's job is submitted."""
    return f"telegram:{order.key}"


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

    `message_id` is a message of ours that becomes the order's; without it one is sent. Nothing is charged.
    Raises PresetGone, InvalidRequest or InsufficientPoints; then there is no order.
    """
    try:
        _check(chat, preset, prompt, photos=len(photos))
    except DomainError:
        earlier = Order.objects.filter(key=key).first()
        if earlier is None:
            raise
        return earlier
    try:
        with transaction.atomic():
            return Order.objects.create(
                key=key,
                chat=chat,
                preset=preset,
                prompt=prompt,
                photos=[dict(photo) for photo in photos],
                left_out=left_out,
                message_id=message_id,
                next_try_at=timezone.now() + GRACE,
            )
    except IntegrityError:  # the same again
        return Order.objects.get(key=key)


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
                tell(order, wording.accepted(_texts(order), order), must_be_seen=True)
    finally:
        wake_order(order.pk)


def cancel(order: Order) -> Cancelled:
    """Cancel an order, with its points back at once where they were taken. Raises TelegramError.

    An order that is being submitted right now is cancelled by whoever does that.
    """
    accepted = Order.objects.filter(pk=order.pk, status=OrderStatus.ACCEPTED)
    if accepted.update(is_cancel_wanted=True):
        with leases.held(order.pk) as mine:
            if mine is not None and mine.status == OrderStatus.ACCEPTED:
                _drop(mine)
    now = Order.objects.select_related("job").get(pk=order.pk)
    if now.job is not None:
        job = cancel_job(job=now.job)
        return Cancelled.REFUNDED if job.status == JobStatus.CANCELLED else Cancelled.TOO_LATE
    if now.status == OrderStatus.ACCEPTED:
        return Cancelled.SOON
    return Cancelled.FREE if now.status == OrderStatus.CANCELLED else Cancelled.TOO_LATE


def place(order_id: int) -> None:
    """Turn an accepted order into a job and say so; or refuse it, or leave it to a later try."""
    with leases.held(order_id) as order:
        if order is None or order.status != OrderStatus.ACCEPTED:
            return
        with structlog.contextvars.bound_contextvars(order_id=order.pk, user_id=order.chat.user_id):
            _count_try(order)
            try:
                _place(order)
            except DomainError as error:
                _refuse(order, error)
            except Forbidden as error:
                _close(order, OrderStatus.REFUSED, error.message)
            except TelegramError as error:
                _postpone(order, error)
            except leases.LeaseLost:
                logger.warning("Order taken over while it was placed")
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                logger.exception("Order failed by a mistake of ours, it is tried again")
                Order.objects.filter(pk=order.pk).update(failure=f"{MISTAKE}{type(error).__name__}")


def sweep(now: datetime) -> list[int]:
    """Wake workers for orders that should have been placed by now; return which."""
    due = list(Order.objects.to_place(now).values_list("pk", flat=True)[:MOST_SWEPT])
    # A long queue of wake-ups must not grow with every tick.
    Order.objects.filter(pk__in=due, status=OrderStatus.ACCEPTED).update(next_try_at=now + SWEPT_AGAIN)
    for order_id in due:
        wake_order(order_id)
    return due


def _place(order: Order) -> None:
    job = _job_of(order)
    if job is None:
        if order.is_cancel_wanted:
            _drop(order)
            return
        if order.tries > MOST_TRIES:
            raise _given_up(order)
        _say_accepted(order)
        wish = wish_of(order.preset, order.prompt)
        images = []
        for photo in order.photos:
            images.append(read_photo(photo, owner=order.chat.user))
            leases.renew(order)
        if not Order.objects.filter(pk=order.pk, is_cancel_wanted=False).exists():
            _drop(order)
            return
        job = submit_job(
            user=order.chat.user,
            wish=wish,
            images=images,
            idempotency_key=idempotency_key(order),
            request_id=f"order-{order.pk}",
        ).job
    _link(order, job)


def _given_up(order: Order) -> DomainError:
    """Return why an order that was tried often enough is not made."""
    if order.failure.startswith(MISTAKE):
        return NotMade(order.failure)
    return PhotosUnavailable("The photos can not be had from Telegram.")


def _job_of(order: Order) -> Job | None:
    """Return the job that an earlier try has submitted."""
    return Job.objects.filter(user=order.chat.user, idempotency_key=idempotency_key(order)).first()


def _link(order: Order, job: Job) -> None:
    wanted = Order.objects.filter(pk=order.pk, status=OrderStatus.ACCEPTED, is_cancel_wanted=False)
    if not wanted.update(status=OrderStatus.SUBMITTED, job=job, next_try_at=None):
        if not Order.objects.filter(pk=order.pk, job=job).exists():  # else it has even finished by now
            cancel_job(job=job)
            Order.objects.filter(pk=order.pk, job=None).update(
                status=OrderStatus.SUBMITTED, job=job, next_try_at=None
            )
        return
    order.job = job
    logger.info("Order placed", job_id=job.pk)
    job.refresh_from_db()
    if job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        content = wording.working(_texts(order), order, job, estimate(job))
        _tell_if_possible(order, content)  # else the next look at its progress says it


def _say_accepted(order: Order) -> None:
    """Send the message that a crash, or a Telegram in trouble, left unsent; or say that photos are late."""
    content = wording.accepted(_texts(order), order)
    if order.shown != content.digest:
        _tell_if_possible(order, content)


def _tell_if_possible(order: Order, content: Content) -> None:
    """Say what may as well be said later. Raises Forbidden: nobody is there to see the edit."""
    if pace.paused_for() > 0:
        return
    try:
        tell(order, content, must_be_seen=not order.shown)
    except Forbidden:
        raise
    except RetryAfter as error:
        pace.pause(bot_api.seconds_to_wait(error), chat_id=order.chat_id)
    except TelegramError as error:
        logger.warning("Order not told", reason=error.message)


def _drop(order: Order) -> None:
    """End an order whose owner cancelled it before it was charged."""
    job = _job_of(order)
    if job is not None:  # submitted by a process that died right then
        _link(order, job)
        return
    tell(order, wording.dropped(_texts(order), order), must_be_seen=True)
    _close(order, OrderStatus.CANCELLED, "")


def _refuse(order: Order, error: DomainError) -> None:
    """End an order that can not be had. Told first: a crash in between lets it be refused once more."""
    logger.info("Order refused", code=error.code, reason=error.message)
    content = wording.refused(_texts(order), order, error)
    try:
        tell(order, content, must_be_seen=True)
    except (Forbidden, BadRequest):
        pass
    except TelegramError as trouble:
        if order.tries <= MOST_TRIES:
            _postpone(order, trouble)
            return
    _close(order, OrderStatus.REFUSED, f"{error.code}: {error.message}")


def _close(order: Order, status: OrderStatus, failure: str) -> None:
    Order.objects.filter(pk=order.pk, status=OrderStatus.ACCEPTED).update(
        status=status, failure=failure[:200], next_try_at=None
    )


def _count_try(order: Order) -> None:
    # Counted first: an order that kills its process must not do so for ever.
    order.tries += 1
    pause = PAUSES[min(order.tries, len(PAUSES)) - 1]
    Order.objects.filter(pk=order.pk).update(tries=order.tries, next_try_at=timezone.now() + pause)


def _postpone(order: Order, error: TelegramError) -> None:
    logger.warning("Order is placed later", reason=error.message, tries=order.tries)
    if isinstance(error, RetryAfter):
        pause = bot_api.seconds_to_wait(error)
        pace.pause(pause, chat_id=order.chat_id)
        Order.objects.filter(pk=order.pk).update(next_try_at=timezone.now() + timedelta(seconds=pause))


def _texts(order: Order) -> Texts:
    return Texts(order.chat.user.language)
