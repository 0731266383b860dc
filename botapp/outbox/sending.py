"""Sending what the outbox holds: who sends when, and what each end of a call means for its delivery.

Urgent lanes are sent by the worker's own threads as wake-ups come, a few at once, one delivery after another.
Bulk is sent by a run of its own, in small claims, and looks at the urgent lanes before each of them. Knows
neither words nor how rows change.

    sent                 it ends, with its message's id
    429                  everybody pauses, and it waits as long as Telegram says
    403, chat not found  it fails, the chat is gone, and bulk to that chat is cancelled
    400                  it fails, with Telegram's reason
    anything else        it is tried again after growing pauses: urgent for a day, bulk for two hours
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context

import structlog
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone
from telegram.error import BadRequest, Forbidden, RetryAfter, TelegramError

from botapp import outbox
from botapp.models import Chat, Delivery, DeliveryStatus, Lane
from botapp.outbox import Claim, LeaseLost, NotYet, OutcomeUnknown, Pointless, broadcasts, pace
from botapp.outbox.news import SENDERS
from botapp.wakeups import wake_outbox
from qwenedit import bot_api

logger = structlog.get_logger(__name__)

URGENT = (Lane.RESULTS, Lane.MONEY)
BULK = (Lane.BULK,)
URGENT_AT_ONCE = max(1, settings.WORKER_THREADS // 2)  # edits need the worker's other threads
BULK_AT_ONCE = min(24, max(1, settings.BOT_MESSAGES_PER_SECOND // 3))  # an answer takes some 0.3 s
BULK_CLAIM = 5
BULK_RUN = 20.0  # seconds; then the beat begins the next one
MOST_TROUBLES = 3  # claims in a row that meet trouble before a thread leaves Telegram alone

URGENT_PAUSES = (1, 3, 10, 30, 60, 120, 300, 600, 900)  # seconds; the last one repeats
URGENT_TRIES = 100  # some 23 hours
BULK_PAUSES = (10, 60, 300, 900, 1800, 3600)
BULK_TRIES = 7  # some two hours
MISTAKE_TRIES = 5  # for mistakes of ours, which seldom pass by themselves
LONGEST_COUNTDOWN = 60.0  # for what comes later, the beat is exact enough

RENEW_EVERY = 5.0  # seconds
LONGEST_HOLD = 600.0  # whoever has not ended by then never will

stopping = threading.Event()
_urgent_threads = threading.BoundedSemaphore(URGENT_AT_ONCE)
_bulk_run = threading.Lock()


@worker_shutting_down.connect
def _stop(**_signal: object) -> None:
    stopping.set()


def send_due() -> int:
    """Send what is due in the urgent lanes until nothing is; return how many deliveries were taken.

    Leaves at once where enough threads of this process are at it: they will find what is new.
    """
    taken = 0
    while _may_speak() and _urgent_threads.acquire(blocking=False):
        try:
            while _may_speak() and (claim := outbox.claim(URGENT, most=1)):
                taken += 1
                _send_all(claim)
        finally:
            _urgent_threads.release()
        # What came while this thread was leaving found no thread free.
        if not outbox.is_due(URGENT, timezone.now()):
            break
    return taken


def send_bulk() -> int:
    """Send bulk for a while, unless this process is at it; return how many deliveries were taken."""
    if not outbox.is_due(BULK, timezone.now()) or not _bulk_run.acquire(blocking=False):
        return 0
    try:
        ends_at = time.monotonic() + BULK_RUN
        with ThreadPoolExecutor(BULK_AT_ONCE, thread_name_prefix="bulk") as pool:
            threads = [
                pool.submit(copy_context().run, _send_bulk_until, ends_at) for _ in range(BULK_AT_ONCE)
            ]
            return sum(thread.result() for thread in threads)
    finally:
        _bulk_run.release()


def _send_bulk_until(ends_at: float) -> int:
    taken = troubles = 0
    try:
        while time.monotonic() < ends_at and troubles < MOST_TROUBLES and _may_speak():
            if outbox.is_due(URGENT, timezone.now()):
                send_due()
            claim = outbox.claim(BULK, most=BULK_CLAIM)
            if claim is None:
                break
            taken += len(claim.deliveries)
            troubles = 0 if _send_all(claim) else troubles + 1
    finally:
        connections.close_all()
    return taken


def _may_speak() -> bool:
    return not stopping.is_set() and pace.paused_for() == 0


def _send_all(claim: Claim) -> bool:
    """Send what was claimed. At the first trouble the rest is put back; tell whether there was none."""
    bulk = [row.chat_id for row in claim.deliveries if row.lane == Lane.BULK]
    gone = set(
        Chat.objects.filter(pk__in=bulk, gone_at__isnull=False).values_list("pk", flat=True) if bulk else ()
    )
    is_fine = True
    with _kept(claim):
        for delivery in claim.deliveries:
            try:
                if not is_fine:
                    _put_back(delivery, BULK_PAUSES[0], is_try=False)
                elif delivery.chat_id in gone:
                    outbox.finish(delivery, DeliveryStatus.CANCELLED, reason="the chat is gone")
                else:
                    with structlog.contextvars.bound_contextvars(
                        request_id=f"delivery-{delivery.pk}", kind=delivery.kind, chat_id=delivery.chat_id
                    ):
                        is_fine = _send(delivery)
            except LeaseLost:
                logger.warning("Delivery was taken over by somebody else", delivery_id=delivery.pk)
    return is_fine


def _send(delivery: Delivery) -> bool:
    """Send one delivery and write down what came of it; tell whether Telegram can be reached."""
    try:
        pace.wait(delivery.chat_id, Lane(delivery.lane))
        message_id = SENDERS[delivery.kind](delivery)
    except NotYet as wait:
        _put_back(delivery, wait.seconds, is_try=False)
    except Pointless as error:
        outbox.finish(delivery, DeliveryStatus.CANCELLED, reason=error.reason)
    except OutcomeUnknown:
        _fail(delivery, "nobody knows whether it arrived")
    except RetryAfter as error:
        _slow_down(delivery, error)
    except Forbidden as error:
        _lose_chat(delivery, error.message)
    except BadRequest as error:
        _refuse(delivery, error.message)
    except TelegramError as error:
        _try_again(delivery, error)
        return False
    except (OperationalError, InterfaceError, LeaseLost):
        raise
    except Exception as error:
        logger.exception("Delivery failed by a mistake of ours")
        if delivery.tries >= MISTAKE_TRIES:
            _fail(delivery, f"a mistake of ours: {type(error).__name__}")
        else:
            _put_back(delivery, _pause(delivery))
    else:
        outbox.finish(delivery, DeliveryStatus.SENT, message_id=message_id)
        if delivery.lane in URGENT:  # a line for each of a million notices is nothing to read
            logger.info("Delivery sent", tries=delivery.tries)
    return True


def _slow_down(delivery: Delivery, error: RetryAfter) -> None:
    seconds = bot_api.seconds_to_wait(error)
    logger.warning("Telegram wants the bot to be slower", seconds=seconds)
    pace.pause(seconds, delivery.chat_id)
    if _is_last_try(delivery):
        _fail(delivery, error.message)
    else:
        _put_back(delivery, seconds, is_begun=False)


def _lose_chat(delivery: Delivery, reason: str) -> None:
    logger.info("Chat is gone", reason=reason)
    outbox.chat_is_gone(delivery, reason)


def _refuse(delivery: Delivery, reason: str) -> None:
    if "chat not found" in reason.lower():
        _lose_chat(delivery, reason)
        return
    _fail(delivery, f"{broadcasts.REFUSED}{reason}")
    if delivery.broadcast_id is not None:
        broadcasts.note_refusal(delivery.broadcast_id)


def _try_again(delivery: Delivery, error: TelegramError) -> None:
    logger.warning("Delivery met trouble", reason=error.message, tries=delivery.tries)
    if _is_last_try(delivery):
        _fail(delivery, error.message)
    else:
        # What has certainly not happened may be repeated by a sender that is careful.
        is_begun = delivery.is_begun and not bot_api.happened_not(error)
        _put_back(delivery, _pause(delivery), is_begun=is_begun)


def _put_back(
    delivery: Delivery, seconds: float, *, is_try: bool = True, is_begun: bool | None = None
) -> None:
    outbox.postpone(
        delivery, seconds, is_try=is_try, is_begun=delivery.is_begun if is_begun is None else is_begun
    )
    if delivery.lane in URGENT and seconds <= LONGEST_COUNTDOWN:
        wake_outbox(in_seconds=seconds)


def _fail(delivery: Delivery, reason: str) -> None:
    logger.warning("Delivery failed", reason=reason, tries=delivery.tries)
    outbox.finish(delivery, DeliveryStatus.FAILED, reason=reason)


def _pause(delivery: Delivery) -> float:
    pauses = BULK_PAUSES if delivery.lane == Lane.BULK else URGENT_PAUSES
    return pauses[min(delivery.tries, len(pauses)) - 1]


def _is_last_try(delivery: Delivery) -> bool:
    return delivery.tries >= (BULK_TRIES if delivery.lane == Lane.BULK else URGENT_TRIES)


@contextmanager
def _kept(claim: Claim) -> Iterator[None]:
    """Keep the lease for the length of a block, from a thread of its own: a slow upload must not lose it."""
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(claim, ended), name="lease of deliveries", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _keep(claim: Claim, ended: threading.Event) -> None:
    give_up_at = time.monotonic() + LONGEST_HOLD
    try:
        while not ended.wait(RENEW_EVERY) and time.monotonic() < give_up_at:
            try:
                outbox.renew(claim)
            except (OperationalError, InterfaceError):
                # If the database stays away, the lease runs out.
                logger.warning("Lease not renewed, the database does not answer")
                connections.close_all()
    finally:
        connections.close_all()
