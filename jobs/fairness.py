"""Whose turn it is: the place that a job takes among those that wait. Knows nothing of nodes.

Every job carries a turn, and the queue is served by priority class, turn and age: an order that one index
keeps, however long the queue. A user's next job takes the turn after the user's last one, whether that waits
or was served, and nobody's is before the turn that is served now. So users take turns, however many jobs each
has queued, and a newcomer waits for one job of each of the others at most. (Start-time fair queueing: Goyal,
Vin and Cheng, 1996.)

Turns are compared within a class only. They never run backwards, so those of users and of the present are
kept apart from the jobs, which may be cancelled or erased.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, F, Min, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce, Greatest

from jobs.models import Job, ServedTurn
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


def serving(job: Job) -> Asked[int]:
    """Return the statement that notes a job's turn as served; it finds 0 rows where `serve_first` has to."""
    return _serve.of(job.user_id, job.priority, job.turn)


def serve_first(job: Job) -> None:
    """Note a job's turn as the first of its user's that is served in its class."""
    _insert(ServedTurn(user_id=job.user_id, priority=job.priority, turn=job.turn))


def prevent_starving(now: datetime) -> int:
    """See to it that what has waited for AGEING is served; return how many jobs of batch work were lifted."""
    _catch_up(now)
    return _lift(now)


def _catch_up(now: datetime) -> None:
    """Let newcomers take their turns from the first one that has waited long, if that is still to come.

    Else newcomers without end, each with a job of the present turn, would keep all later turns waiting.
    """
    interactive = Job.objects.filter(status=JobStatus.QUEUED, priority=Job.Priority.INTERACTIVE)
    first = interactive.filter(created_at__lt=now - AGEING).in_order().first()
    is_later = first and first.turn > _present_turn(first.priority)
    if first and is_later and not _serve(first.user_id, first.priority, first.turn):
        serve_first(first)


def _lift(now: datetime) -> int:
    """Let batch work that has waited for AGEING take turns with interactive work; return how many jobs.

    One job of each user at a time, with the turn that a new interactive one would have.
    """
    queued = Job.objects.filter(status=JobStatus.QUEUED)
    aged = queued.filter(priority=Job.Priority.BATCH, created_at__lt=now - AGEING)
    has_one = queued.filter(priority=Job.Priority.INTERACTIVE).values("user")
    oldest = aged.exclude(user__in=has_one).order_by().values("user").annotate(first=Min("pk"))
    lifted = list(oldest.values_list("first", flat=True)[:MOST_LIFTED])
    if not lifted:
        return 0
    own = ServedTurn.objects.filter(user=OuterRef("user"), priority=Job.Priority.INTERACTIVE)
    after_own = Coalesce(Subquery(own.values(next=F("turn") + 1)), 0, output_field=BigIntegerField())
    present = Value(_present_turn(Job.Priority.INTERACTIVE), output_field=BigIntegerField())
    return queued.filter(pk__in=lifted, priority=Job.Priority.BATCH).update(
        priority=Job.Priority.INTERACTIVE, turn=Greatest(present, after_own)
    )


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
    lambda user, priority, turn: (
        ServedTurn.objects.filter(user=user, priority=priority),
        # Of a retry the turn has passed.
        {"turn": Greatest("turn", Value(turn, output_field=BigIntegerField()))},
    )
)
