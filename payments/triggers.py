"""Database triggers that make ledger entries immutable, on SQLite and on PostgreSQL.

Installed after every `migrate`, not by one migration: SQLite drops a table's triggers whenever a later
migration rebuilds the table.
"""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "payments_ledgerentry"
REFUSAL = "ledger entries are immutable"
NAMES = {"UPDATE": f"{TABLE}_no_update", "DELETE": f"{TABLE}_no_delete"}


def install(*, using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
    """Create the triggers where they are missing (receiver of `post_migrate`)."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if TABLE not in connection.introspection.table_names(cursor):
            return
        for statement in _statements(connection):
            cursor.execute(statement)


def missing(*, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Return the names of the triggers that are not in the database."""
    connection = connections[using]
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.vendor == "sqlite"
        else "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'"
    )
    with connection.cursor() as cursor:
        cursor.execute(catalogue)
        present = {row[0] for row in cursor.fetchall()}
    return sorted(set(NAMES.values()) - present)


def _statements(connection: BaseDatabaseWrapper) -> list[str]:
    if connection.vendor == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {event} ON {TABLE} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            for event, name in NAMES.items()
        ]
    refuse = (
        f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$"
    )
    return [
        refuse,
        *(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE {event} ON {TABLE} "
            f"FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()"
            for event, name in NAMES.items()
        ),
    ]
