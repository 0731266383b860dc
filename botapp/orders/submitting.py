"""From an accepted order to a job, by a worker: photos fetched from Telegram, the job submitted, and said.

    wake-up, beat ─▶ submit_due ─▶ submit: photos from Telegram ─▶ submit_job ─▶ link ─▶ "in the queue"

Points are charged by `submit_job` and never before it; the idempotency key is made of the order's key, so an
order becomes one job however often it is submitted. Knows no updates and no buttons.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import ClassVar

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from telegram.error import BadRequest, Forbidden, RetryAfter, TelegramError

from botapp.conversation.drafts import wish_of
from botapp.models import Order, OrderStatus
from botapp.orders import leases, wording
from botapp.orders.display import tell
from botapp.orders.inputs import PhotosUnavailable, read_photo
from botapp.orders.wording import Content
from botapp.outbox import pace
from botapp.texts import Texts
from botapp.wakeups import wake_orders
from jobs.estimates import estimate
from jobs.models import Job
from jobs.services import cancel_job, submit_job
from jobs.states import JobStatus
from qwenedit import bot_api
from qwenedit.errors import DomainError

logger = structlog.get_logger(__name__)

PAUSES = tuple(timedelta(seconds=s) for s in (2, 5, 15, 30, 60))
MOST_TRIES = 6
MISTAKE = "a mistake of ours: "
AT_ONCE = max(2, settings.WORKER_THREADS // 4)  # edits and results need the worker's other threads
LONGEST_RUN = 2.0  # seconds; then whatever else waits for a thread has its turn

_threads = threading.BoundedSemaphore(AT_ONCE)


class NotMade(DomainError):
    """A mistake of ours, again and again."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = True


def idempotency_key(order: Order) -> str:
    """Return the name under which an order's job is submitted."""
    return f"telegram:{order.key}"


def submit_due() -> int:
    """Submit accepted orders for a while, the longest overdue first; return how many were tried.

    Leaves at once where enough threads of this process are at it: they will find what is new.
    """
    ends_at = time.monotonic() + LONGEST_RUN
    tried = 0
    while _due() and _threads.acquire(blocking=False):
        try:
            while time.monotonic() < ends_at and (due := _due()):
                if len(due) > 1 and not tried:
                    wake_orders()  # another thread may help
                tried += submit(due[0])
        finally:
            _threads.release()
        # What came while this thread was leaving found no thread free.
        if time.monotonic() >= ends_at:
            if _due():
                wake_orders()
            break
    return tried


def submit(order_id: int) -> bool:
    """Turn an accepted order into a job and say so; or refuse it, or leave it to a later try.

    Returns whether it was free to be tried.
    """
    with leases.held(order_id) as order:
        if order is None or order.status != OrderStatus.ACCEPTED:
            return False
        with structlog.contextvars.bound_contextvars(order_id=order.pk, user_id=order.chat.user_id):
            _count_try(order)
            try:
                _submit(order)
            except DomainError as error:
                _refuse(order, error)
            except Forbidden as error:
                _close(order, OrderStatus.REFUSED, error.message)
            except TelegramError as error:
                _postpone(order, error)
            except leases.LeaseLost:
                logger.warning("Order taken over while it was submitted")
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:
                logger.exception("Order failed by a mistake of ours, it is tried again")
                Order.objects.filter(pk=order.pk).update(failure=f"{MISTAKE}{type(error).__name__}")
        return True


def drop(order: Order) -> None:
    """End an order whose owner cancelled it before it was charged."""
    job = _job_of(order)
    if job is not None:  # submitted by a process that died right then
        _link(order, job)
        return
    tell(order, wording.dropped(_texts(order), order), must_be_seen=True)
    _close(order, OrderStatus.CANCELLED, "")


def _due() -> list[int]:
    """Return the two orders that are longest overdue and that nobody holds."""
    now = timezone.now()
    return list(Order.objects.to_submit(now).filter(leases.free(now)).values_list("pk", flat=True)[:2])


def _submit(order: Order) -> None:
    job = _job_of(order)
    if job is None:
        if order.is_cancel_wanted:
            drop(order)
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
            drop(order)
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
    logger.info("Order submitted", job_id=job.pk)
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
    logger.warning("Order is submitted later", reason=error.message, tries=order.tries)
    if isinstance(error, RetryAfter):
        pause = bot_api.seconds_to_wait(error)
        pace.pause(pause, chat_id=order.chat_id)
        Order.objects.filter(pk=order.pk).update(next_try_at=timezone.now() + timedelta(seconds=pause))


def _texts(order: Order) -> Texts:
    return Texts(order.chat.user.language)
