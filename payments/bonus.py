"""The weekly bonus: so many points for everybody, once per ISO week.

Beat asks every minute. From the bonus's moment to the end of its week, whatever was not handed out yet is
handed out, so that downtime delays a bonus within its week but loses none. Users are taken in batches, a
transaction each; the row of `WeeklyBonus` moves on with them, and the ledger's keys would stop a double even
if that row were lost. What tells users of it lives above; here a `BonusNotice` is written for each.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from payments.ledger_bulk import BulkEntry, post_to_each
from payments.models import BonusNotice, LedgerEntry, WeeklyBonus
from qwenedit.logs import each, report_each
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

BATCH = 5_000  # users locked at a time: one or two tenths of a second


@dataclass(frozen=True)
class Batch:
    """Users who got their bonus in one transaction, and how far that brought the bonus."""

    bonus: WeeklyBonus
    entries: list[BulkEntry]


def issue_weekly_bonus(now: datetime) -> int:
    """Give this week's bonus to whoever is still without it; return to how many users.

    Does nothing before the bonus's moment, once everybody has it, and while another runner is at it.
    """
    due_at = bonus_moment(now)
    if not settings.WEEKLY_BONUS_ENABLED or now < due_at:
        return 0
    week = week_name(now)
    if WeeklyBonus.objects.filter(week=week, finished_at__isnull=False).exists():
        return 0
    WeeklyBonus.objects.get_or_create(
        week=week, defaults={"due_at": due_at, "amount": settings.WEEKLY_BONUS_AMOUNT}
    )
    users = 0
    # A line per user takes a while: those of one batch are written while the next is handed out.
    with ThreadPoolExecutor(max_workers=1) as scribe:
        writing: Future[None] | None = None
        while (batch := _give_batch(week)) is not None:
            users += len(batch.entries)
            if writing is not None:
                writing.result()
            writing = scribe.submit(copy_context().run, _log, batch)
        if writing is not None:
            writing.result()
    return users


def week_name(now: datetime) -> str:
    """Return the ISO week of a moment, in UTC, such as `2026-W48`."""
    year, week, _day = now.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02}"


def bonus_moment(now: datetime) -> datetime:
    """Return when the bonus of that moment's ISO week is due."""
    year, week, _day = now.astimezone(UTC).isocalendar()
    day = date.fromisocalendar(year, week, 1) + timedelta(days=settings.WEEKLY_BONUS_DAY)
    return datetime.combine(day, settings.WEEKLY_BONUS_TIME, UTC)


def _give_batch(week: str) -> Batch | None:
    """Give the next users their bonus; return None where there is nothing to do."""
    with transaction.atomic():
        # A second runner leaves rather than waits; should the first one die, the next beat goes on here.
        bonus = (
            WeeklyBonus.objects.select_for_update(skip_locked=True)
            .filter(week=week, finished_at__isnull=True)
            .first()
        )
        if bonus is None:
            return None
        # Numbers of whoever is next, fit for a bonus or not: a walk through the index that looks at no row.
        after = bonus.last_user_id
        numbers = User.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH]
        found = numbers.aggregate(count=Count("pk"), last=Max("pk"))
        entries: list[BulkEntry] = []
        if found["count"]:
            entries = post_to_each(
                User.objects.filter(is_active=True, is_blocked=False, date_joined__lt=bonus.due_at),
                after=after,
                up_to=found["last"],
                amount=bonus.amount,
                kind=LedgerEntry.Kind.WEEKLY_BONUS,
                key_prefix=f"bonus:weekly:{week}:",
                description="Weekly bonus",
                notices=BonusNotice,
            )
            bonus.last_user_id = found["last"]
            bonus.users += len(entries)
        if found["count"] < BATCH:
            bonus.finished_at = timezone.now()
        bonus.save()
    return Batch(bonus, entries)


def _log(batch: Batch) -> None:
    bonus = batch.bonus
    fields = {
        "payment_id": each(0),
        "user_id": each(1),
        "amount": f"{bonus.amount} points",
        "new_balance": each(2),
    }
    rows = [(*entry, entry.balance_after - bonus.amount) for entry in batch.entries]
    report_each(
        logger,
        "Weekly bonus issued successfully",
        fields,
        rows,
        status="succeeded",
        balance_before=each(3),
    )
    if bonus.finished_at:
        logger.info("Weekly bonus finished", week=bonus.week, users=bonus.users, amount=bonus.amount)
