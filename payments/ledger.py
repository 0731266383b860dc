"""The only writer of balances.

Every movement of points has a cause, named by a unique key: `job:17:charge`, `job:17:refund`,
`user:5:initial`. Posting the same cause twice changes nothing the second time, so every caller may repeat
itself after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F
from django.db.models.functions import Coalesce

from payments.models import LedgerEntry
from qwenedit.errors import DomainError
from qwenedit.lib.compiled import CompiledInsert
from qwenedit.logs import report
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

LARGEST_AMOUNT = 10**12
LONGEST_DESCRIPTION = 200


class InsufficientPoints(DomainError):
    """The balance does not cover the price."""

    code = "insufficient_points"
    status = 402


class KeyConflict(DomainError):
    """The cause was posted before, for somebody else or with another amount: a mistake in our own code."""

    code = "conflict"
    status = 409


@dataclass(frozen=True)
class Posting:
    """What `post` did: the entry, and whether this call made it."""

    entry: LedgerEntry
    created: bool


_insert = CompiledInsert(LedgerEntry)


def post(*, user_id: int, amount: int, kind: LedgerEntry.Kind, key: str, description: str = "") -> Posting:
    """Move `amount` points (negative to spend) for the cause `key`, once.

    Raises InsufficientPoints where the balance would fall below zero, and KeyConflict where the cause
    exists with another amount or user. Joins the caller's transaction; a caller without one gets its own.
    """
    if abs(amount) > LARGEST_AMOUNT:
        raise ValueError(f"{amount} points is no believable amount")
    try:
        with transaction.atomic():
            # The user's row is the lock: entries of one user are made one after another, so that
            # `balance_after` is a chain.
            balance = _moved_balance(user_id, amount)
            if balance is not None:
                entry = LedgerEntry(
                    user_id=user_id,
                    amount=amount,
                    balance_after=balance,
                    kind=kind,
                    key=key,
                    description=description[:LONGEST_DESCRIPTION],
                )
                _insert(entry)
                return Posting(entry, created=True)
    except IntegrityError:
        if not LedgerEntry.objects.filter(key=key).exists():
            raise
    earlier = LedgerEntry.objects.filter(key=key).first()
    if earlier is None:
        balance = User.objects.values_list("balance", flat=True).get(pk=user_id)
        raise InsufficientPoints(
            f"This needs {-amount} points, the balance is {balance}.", balance=balance, required=-amount
        )
    if (earlier.user_id, earlier.amount) != (user_id, amount):
        raise KeyConflict(f"The cause {key} was posted before with another amount or user.")
    return Posting(earlier, created=False)


def charge_job(*, user_id: int, job_id: int, points: int, description: str) -> LedgerEntry:
    """Take the price of an edit. Raises InsufficientPoints."""
    posting = post(
        user_id=user_id,
        amount=-points,
        kind=LedgerEntry.Kind.EDIT,
        key=f"job:{job_id}:charge",
        description=description,
    )
    return posting.entry


def refund_job(*, user_id: int, job_id: int, points: int, reason: str) -> LedgerEntry:
    """Give the price of an edit back, once, in the transaction that ends the edit."""
    posting = post(
        user_id=user_id,
        amount=points,
        kind=LedgerEntry.Kind.EDIT_REFUND,
        key=f"job:{job_id}:refund",
        description=reason,
    )
    if posting.created:
        entry = posting.entry
        transaction.on_commit(
            lambda: report(
                logger,
                "Refund created successfully",
                {
                    "payment_id": entry.pk,
                    "user_id": user_id,
                    "amount": f"{points} points",
                    "reason": reason,
                    "new_balance": entry.balance_after,
                },
                job_id=job_id,
                status="succeeded",
                balance_before=entry.balance_after - points,
            )
        )
    return posting.entry


def grant(*, user_id: int, points: int, key: str, reason: str, staff_id: int | None = None) -> Posting:
    """Give (or with a negative number take) points for a reason a person names, once per `key`.

    Raises InsufficientPoints where there is less to take, and KeyConflict.
    """
    posting = post(
        user_id=user_id, amount=points, kind=LedgerEntry.Kind.GRANT, key=f"grant:{key}", description=reason
    )
    if posting.created:
        entry = posting.entry
        transaction.on_commit(
            lambda: report(
                logger,
                "Points granted" if points > 0 else "Points taken",
                {
                    "payment_id": entry.pk,
                    "user_id": user_id,
                    "amount": f"{points} points",
                    "reason": reason,
                    "new_balance": entry.balance_after,
                },
                staff_id=staff_id,
                status="succeeded",
                balance_before=entry.balance_after - points,
            )
        )
    return posting


def give_initial_balance(*, instance: User, created: bool, raw: bool = False, **_signal: Any) -> None:
    """Welcome a new user, in the transaction that creates them (receiver of `post_save`)."""
    if not created or raw:
        return
    posting = post(
        user_id=instance.pk,
        amount=settings.INITIAL_BALANCE,
        kind=LedgerEntry.Kind.INITIAL,
        key=f"user:{instance.pk}:initial",
        description="Welcome",
    )
    instance.balance = posting.entry.balance_after


def broken_balances() -> models.QuerySet[User]:
    """Return users whose balance is not the sum of their entries, or not that of their newest entry."""
    entries = LedgerEntry.objects.filter(user_id=models.OuterRef("pk"))
    total = entries.order_by().values("user_id").annotate(total=models.Sum("amount")).values("total")
    newest = entries.order_by("-id").values("balance_after")[:1]
    return User.objects.annotate(
        total=Coalesce(models.Subquery(total), 0),
        newest=Coalesce(models.Subquery(newest), 0),
    ).exclude(balance=F("total"), newest=F("total"))


def _moved_balance(user_id: int, amount: int) -> int | None:
    """Add to a balance, lock it, and return what it is now; None where it would fall below zero."""
    table = connection.ops.quote_name(User._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET balance = balance + %s WHERE id = %s AND balance + %s >= 0 "  # noqa: S608
            "RETURNING balance",
            [amount, user_id, amount],
        )
        row = cursor.fetchone()
    return row[0] if row else None
