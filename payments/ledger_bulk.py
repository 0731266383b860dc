"""The ledger for many users at once: one movement of the same size for each of them, in a few statements.

As in `payments.ledger`, a movement's key is unique and the user's row is the lock; here the rows of a whole
batch are locked, in the order of their ids, so keep batches short. Must not know what the points are for.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Model, QuerySet
from django.db.models.sql import UpdateQuery
from django.utils import timezone

from payments.models import LedgerEntry
from qwenedit.users.models import User

# One statement, whose UPDATE locks and credits: a pass that only locked would write every user once more.
# Under READ COMMITTED it waits for whoever holds a user, and then looks at balance and conditions anew.
POST_ON_POSTGRESQL = """
WITH credited (user_id, balance) AS ({crediting} RETURNING id, balance),
posted AS (
    INSERT INTO payments_ledgerentry (user_id, amount, balance_after, kind, key, description, created_at)
    SELECT user_id, %s, balance, %s, %s || user_id, %s, %s FROM credited ORDER BY user_id
    RETURNING id, user_id, balance_after
),
noticed AS (INSERT INTO {notices} (entry_id) SELECT id FROM posted)
SELECT id, user_id, balance_after FROM posted
"""
# Leaves the planner nothing but the primary key, so that users are locked in its order, as everybody does who
# locks several. On disk they lie in another, and whoever locks in another order may end in a deadlock.
IN_THE_ORDER_OF_IDS = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)
"""


class BulkEntry(NamedTuple):
    """An entry that `post_to_each` made, and its user's new balance."""

    id: int
    user_id: int
    balance_after: int


def post_to_each(
    users: QuerySet[User],
    *,
    after: int,
    up_to: int,
    amount: int,
    kind: LedgerEntry.Kind,
    key_prefix: str,
    description: str,
    notices: type[Model],
) -> list[BulkEntry]:
    """Give each of `users` the same `amount` of points for the cause `key_prefix` + their id, once.

    Takes those whose ids are above `after` and not above `up_to`, in that order; returns the entries it made.
    A user whose cause was posted before is passed over. Each entry gets a row of `notices`, whose key it is.
    Must run inside a transaction: the users stay locked until its end.
    """
    if amount <= 0:
        raise ValueError("points can only be given to many at once, never taken")
    chosen = users.filter(pk__gt=after, pk__lte=up_to)
    what = (amount, kind, key_prefix, description[:200], notices)
    if connection.vendor == "postgresql":
        try:
            with transaction.atomic():
                return _post_in_one_statement(chosen, *what)
        except IntegrityError:  # somebody has theirs already, which is too rare to ask about every time
            pass
    return _post_to_the_others(chosen, *what)


def _post_in_one_statement(
    chosen: QuerySet[User],
    amount: int,
    kind: str,
    key_prefix: str,
    description: str,
    notices: type[Model],
) -> list[BulkEntry]:
    """Post to each of `chosen`, or to none. Raises IntegrityError where a cause was posted before."""
    update = cast(UpdateQuery, chosen.query.chain(UpdateQuery))
    update.add_update_values({"balance": F("balance") + amount})
    crediting, parameters = update.sql_with_params()
    statement = POST_ON_POSTGRESQL.format(crediting=crediting, notices=notices._meta.db_table)
    entry = (amount, kind, key_prefix, description, timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(IN_THE_ORDER_OF_IDS)
        cursor.execute(statement, (*parameters, *entry))
        return [BulkEntry._make(row) for row in cursor.fetchall()]


def _post_to_the_others(
    chosen: QuerySet[User],
    amount: int,
    kind: str,
    key_prefix: str,
    description: str,
    notices: type[Model],
) -> list[BulkEntry]:
    """Post to each of `chosen` whose cause was not posted before."""
    locked = chosen.select_for_update(no_key=True).order_by("pk").values_list("pk", "balance")
    keys = {user_id: (f"{key_prefix}{user_id}", balance) for user_id, balance in locked}
    wanted = [key for key, _balance in keys.values()]
    posted = set(LedgerEntry.objects.filter(key__in=wanted).values_list("key", flat=True))
    entries = LedgerEntry.objects.bulk_create(
        LedgerEntry(
            user_id=user_id,
            amount=amount,
            balance_after=balance + amount,
            kind=kind,
            key=key,
            description=description,
        )
        for user_id, (key, balance) in keys.items()
        if key not in posted
    )
    notices._default_manager.bulk_create(notices(pk=entry.pk) for entry in entries)
    credited = [entry.user_id for entry in entries]
    User.objects.filter(pk__in=credited).update(balance=F("balance") + amount)
    return [BulkEntry(entry.pk, entry.user_id, entry.balance_after) for entry in entries]
