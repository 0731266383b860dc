"""Whose turn it is: the place that a job takes among those that wait. Knows nothing of nodes.

Every job carries a turn, and the queue is served by priority class, turn and age: an order that one index
keeps, however long the queue. A user's next job takes the turn after the user's last one, whether that waits
or was served, and nobody's is before the turn that is served now. So users take turns, however many jobs each
has queued, and a newcomer waits for one job of each of the others at most. (Start-time fair queueing: Goyal,
Vin and Cheng, 1996.)

Turns are compared within a class only. They never run backwards, so the last one of each user that was served
is kept apart from the jobs, which may be cancelled. What waits long, or has turns that no longer fit the
present one, `straighten` puts right every few seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, Count, F, Max, Min, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce, Greatest

from jobs.models import Job, JobQuerySet, ServedTurn
from jobs.states import JobStatus
from qwenedit.lib.compiled import Asked, CompiledInsert, CompiledNumbers, CompiledUpdate

AGEING = timedelta(minutes=5)
MOST_LIFTED = 500

Numbers = list[tuple[Any, ...]]


def served(user: int, priority: int) -> tuple[Asked[Numbers], Asked[Numbers]]:
    """Return two questions whose answers `next_turn` wants: the turn served now, and the user's last."""
    return _present.of(priority), _last.of(user, priority)


def next_turn(present: Numbers, last: Numbers, *, waiting: int | None) -> int:
    """Return the turn of a user's new job; `waiting` is that of the last unfinished one of its class."""
    own = [turn for (turn,) in last] + ([] if waiting is None else [waiting])
    return max([turn for (turn,) in present] + [turn + 1 for turn in own], default=0)


def serving(job: Job, now: datetime) -> Asked[int]:
    """Return the statement that notes a job's turn as served; it finds 0 rows where `serve_first` has to."""
    return _serve.of(job.user_id, job.priority, job.turn, now)


def serve_first(job: Job, now: datetime) -> None:
    """Note a job's turn as the first of its user's that is served in its class."""
    _insert(ServedTurn(user_id=job.user_id, priority=job.priority, turn=job.turn, at=now))


def straighten(now: datetime) -> None:
    """Give turns to what has waited for AGEING, and let the turns of each user follow the present one."""
    _lift_batch(now)
    _lift_passed_by(now)
    _close_ranks()


def _lift_batch(now: datetime) -> None:
    """Let batch work that has waited for AGEING take turns with interactive work.

    One job of each user at a time, with the turn that a new interactive one would have; none while the user
    has another that waits there.
    """
    queued = Job.objects.filter(status=JobStatus.QUEUED)
    aged = queued.filter(priority=Job.Priority.BATCH, created_at__lt=now - AGEING)
    has_one = queued.filter(priority=Job.Priority.INTERACTIVE).values("user")
    oldest = aged.exclude(user__in=has_one).order_by().values("user").annotate(first=Min("pk"))
    lifted = list(oldest.values_list("first", flat=True)[:MOST_LIFTED])
    if lifted:
        own = ServedTurn.objects.filter(user=OuterRef("user"), priority=Job.Priority.INTERACTIVE)
        after_own = Coalesce(Subquery(own.values(next=F("turn") + 1)), 0, output_field=BigIntegerField())
        present = Value(_present_turn(Job.Priority.INTERACTIVE), output_field=BigIntegerField())
        queued.filter(pk__in=lifted, priority=Job.Priority.BATCH).update(
            priority=Job.Priority.INTERACTIVE, turn=Greatest(present, after_own)
        )


def _lift_passed_by(now: datetime) -> None:
    """Give the present turn to who waits for AGEING and was served nothing in that time.

    Newcomers without end, each with a job of the present turn, would keep all later turns waiting.
    """
    interactive = _in_turn().filter(priority=Job.Priority.INTERACTIVE)
    present = _present_turn(Job.Priority.INTERACTIVE)
    lately = ServedTurn.objects.filter(priority=Job.Priority.INTERACTIVE, at__gte=now - AGEING)
    later = interactive.exclude(user__in=lately.values("user")).order_by().values("user")
    passed_by = later.annotate(first=Min("turn"), since=Min("created_at")).filter(
        first__gt=present, since__lt=now - AGEING
    )
    for user, first in passed_by.values_list("user", "first")[:MOST_LIFTED]:
        interactive.filter(user=user, turn=first).update(turn=present)


def _close_ranks() -> None:
    """Let the turns of each user follow one another from the present one, or the first after it that is due.

    Those of somebody who may have no more at work fall behind it: all would come at once, before everybody
    else's. What is cancelled leaves gaps, and the rest too late.
    """
    for priority in Job.Priority.values:
        present = _present_turn(priority)
        served = ServedTurn.objects.filter(priority=priority, turn__gte=present)
        after_own = {user: turn + 1 for user, turn in served.values_list("user", "turn")}
        ranks = _in_turn().filter(priority=priority).order_by().values("user")
        ranks = ranks.annotate(first=Min("turn"), last=Max("turn"), count=Count("pk"))
        for user, first, last, count in ranks.values_list("user", "first", "last", "count"):
            start = min(max(first, present), after_own.get(user, present))
            if (first, last) != (start, start + count - 1):
                _renumber(user, priority, start)


def _renumber(user: int, priority: int, start: int) -> None:
    rows = list(_in_turn().filter(user=user, priority=priority).in_order().only("pk"))
    for turn, row in enumerate(rows, start):
        row.turn = turn
    Job.objects.filter(status=JobStatus.QUEUED).bulk_update(rows, ["turn"], batch_size=500)


def _in_turn() -> JobQuerySet:
    """Return what is queued, without retries: their turn has passed, and they keep it."""
    return Job.objects.filter(status=JobStatus.QUEUED, started_at__isnull=True)


def _present_turn(priority: int) -> int:
    return next_turn(_present(priority), [], waiting=None)


_present = CompiledNumbers(
    lambda priority: ServedTurn.objects.filter(priority=priority).order_by("-turn").values_list("turn")[:1]
)
_last = CompiledNumbers(
    lambda user, priority: ServedTurn.objects.filter(user=user, priority=priority).values_list("turn")
)
_insert = CompiledInsert(ServedTurn, once=True)
_serve = CompiledUpdate(
    lambda user, priority, turn, now: (
        ServedTurn.objects.filter(user=user, priority=priority),
        # Of a retry the turn has passed.
        {"turn": Greatest("turn", Value(turn, output_field=BigIntegerField())), "at": now},
    )
)
