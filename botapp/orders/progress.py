"""How far unfinished edits are, in their messages: edited at most every three seconds each, on change only.

An edit of a message is never worth waiting for: what does not fit into this look is seen by the next one. The
end of an edit is told by `outcome`; nothing here can overwrite it, for both need the order's lease.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import structlog
from django.db.models import F, Q
from telegram.error import BadRequest, RetryAfter, TelegramError

from botapp.models import Order, OrderStatus
from botapp.orders import display, leases, wording
from botapp.orders.wording import Content
from botapp.outbox import pace
from botapp.texts import Texts
from jobs.estimates import Estimate, estimates
from jobs.models import Job
from jobs.states import ACTIVE
from qwenedit import bot_api

logger = structlog.get_logger(__name__)

AT_LEAST = timedelta(seconds=3)
MOST_SEEN = 100  # orders a look
LONGEST_LOOK = 2.5  # seconds; the next one begins after three
PATIENCE = 2.0  # seconds for Telegram's answer to an edit


def refresh(now: datetime) -> int:
    """Bring the messages of unfinished edits up to date; return how many were edited."""
    give_up_at = time.monotonic() + LONGEST_LOOK
    orders = list(
        Order.objects.filter(status=OrderStatus.SUBMITTED, job__status__in=ACTIVE, message_id__isnull=False)
        .filter(Q(shown_at__isnull=True) | Q(shown_at__lte=now - AT_LEAST))
        .select_related("chat__user", "preset", "job")
        .order_by(F("shown_at").asc(nulls_first=True))[:MOST_SEEN]
    )
    places = estimates([order.job for order in orders if order.job])
    edited = 0
    for order in orders:
        if time.monotonic() >= give_up_at:
            break
        edited += _refresh(order, places, now)
    return edited


def _refresh(order: Order, places: dict[int, Estimate], now: datetime) -> bool:
    job = order.job
    if job is None:
        return False
    content = wording.working(Texts(order.chat.user.language), order, job, places.get(job.pk))
    if content.digest == order.shown:
        Order.objects.filter(pk=order.pk, shown=order.shown).update(
            shown_at=now
        )  # others are looked at first
        return False
    return pace.may_edit(order.chat_id) and _edit(order, content)


def _edit(order: Order, content: Content) -> bool:
    with leases.held(order.pk) as mine:
        if mine is None or not Job.objects.unfinished().filter(order=mine).exists():
            return False
        try:
            display.edit(mine, content, patience=PATIENCE)
        except BadRequest:
            pass  # it says so already, or its owner deleted it
        except RetryAfter as error:
            pace.pause(bot_api.seconds_to_wait(error), chat_id=mine.chat_id)
            return False
        except TelegramError as error:
            logger.info("Progress not shown", order_id=mine.pk, reason=error.message)
            return False
        display.remember(mine, content)
    return True
