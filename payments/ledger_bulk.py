"""The ledger for many users at once: one movement of the same size for each of them, in a few statements.

As in `payments.ledger`, a movement's key is unique and the user's row is the lock; here the rows of a whole
batch are locked, in the order of their ids, so keep batches short. Must not know what the points are for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection
from django.db.models import F, Model, QuerySet
from django.utils import timezone

from payments.models import LedgerEntry
from qwenedit.users.models import User

# One statement: what it locks is what it credits, and it credits only users whose entry it made. Under READ
# COMMITTED the locking read returns rows as they are once the lock is held, not as the snapshot has them.
# The array keeps the planner at the primary key, where a join may tempt it to read all users.
POST_ON_POSTGRESQL = """
WITH locked (user_id, balance) AS MATERIALIZED ({locked}),
posted AS (
    INSERT INTO payments_ledgerentry (user_id, amount, balance_after, kind, key, description, created_at)
    SELECT user_id, %s, balance + %s, %s, %s || user_id, %s, %s FROM locked ORDER BY user_id
    ON CONFLICT (key) DO NOTHING
    RETURNING id, user_id, balance_after
),
noticed AS (INSERT INTO {notices} (entry_id) SELECT id FROM posted),
credited AS (
    UPDATE users_user SET balance = balance + %s WHERE id = ANY (ARRAY(SELECT user_id FROM posted))
)
SELECT posted.id, locked.user_id, posted.balance_after
FROM locked LEFT JOIN posted USING (user_id) ORDER BY locked.user_id
"""


class BulkEntry(NamedTuple):
    """An entry that `post_to_each` made, and its user's new balance."""

    id: int
    user_id: int
    balance_after: int


@dataclass(frozen=True, slots=True)
class BulkPosting:
    """What `post_to_each` did: the users it went through, and the entries it made for them."""

    user_ids: list[int]
    entries: list[BulkEntry]


def post_to_each(
    users: QuerySet[User],
    *,
    amount: int,
    kind: LedgerEntry.Kind,
    key_prefix: str,
    description: str,
    notices: type[Model],
) -> BulkPosting:
    """Give each of `users` the same `amount` of points for the cause `key_prefix` + their id, once.

    `users` may be sliced; they are taken in the order of their ids. A user whose cause was posted before is
    passed over. Each entry gets a row of `notices`, whose key it is. Must run inside a transaction: the users
    stay locked until its end.
    """
    if amount <= 0:
        raise ValueError("points can only be given to many at once, never taken")
    locked = users.select_for_update(no_key=True).values_list("pk", "balance")
    post = _post_on_postgresql if connection.vendor == "postgresql" else _post_anywhere
    return post(locked, amount, kind, key_prefix, description[:200], notices)


def _post_on_postgresql(
    locked: QuerySet[User, tuple[int, int]],
    amount: int,
    kind: str,
    key_prefix: str,
    description: str,
    notices: type[Model],
) -> BulkPosting:
    locking, parameters = locked.query.sql_with_params()
    statement = POST_ON_POSTGRESQL.format(locked=locking, notices=notices._meta.db_table)
    entry = (amount, amount, kind, key_prefix, description, timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(statement, (*parameters, *entry, amount))
        rows = cursor.fetchall()
    return BulkPosting(
        [user_id for _id, user_id, _balance in rows],
        [BulkEntry._make(row) for row in rows if row[0] is not None],
    )


def _post_anywhere(
    locked: QuerySet[User, tuple[int, int]],
    amount: int,
    kind: str,
    key_prefix: str,
    description: str,
    notices: type[Model],
) -> BulkPosting:
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
    return BulkPosting(
        list(keys), [BulkEntry(entry.pk, entry.user_id, entry.balance_after) for entry in entries]
    )
