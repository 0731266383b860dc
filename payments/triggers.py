"""Database triggers that make ledger entries immutable, on SQLite and on PostgreSQL.

Installed after every `migrate`, not by one migration: SQLite drops a table's triggers whenever a later
migration rebuilds the table.
"""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

TABLE = "payments_ledgerentry"
REFUSAL = "ledger entries are immutable"
NO_UPDATE, NO_DELETE, NO_REPLACE = (f"{TABLE}_no_{event}" for event in ("update", "delete", "replace"))


def install(*, using: str = DEFAULT_DB_ALIAS, **_signal: Any) -> None:
    """Create the triggers where they are missing (receiver of `post_migrate`)."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if TABLE not in connection.introspection.table_names(cursor):
            return
        for statement in statements(connection):
            cursor.execute(statement)


def missing(*, using: str = DEFAULT_DB_ALIAS) -> list[str]:
    """Return the names of the triggers that are not in the database, or do not fire."""
    connection = connections[using]
    catalogue = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s"
        if connection.vendor == "sqlite"
        # O and A fire in an ordinary session; D is disabled, R waits for a replica.
        else "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled IN ('O', 'A')"
    )
    with connection.cursor() as cursor:
        cursor.execute(catalogue, [TABLE])
        present = {row[0] for row in cursor.fetchall()}
    return sorted(set(names(connection)) - present)


def names(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of the triggers that this kind of database needs."""
    return [NO_UPDATE, NO_DELETE, *([NO_REPLACE] if connection.vendor == "sqlite" else [])]


def statements(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the SQL that creates the triggers where they are missing."""
    if connection.vendor == "sqlite":
        taken = f"EXISTS (SELECT 1 FROM {TABLE} WHERE id = NEW.id OR key = NEW.key)"  # noqa: S608
        refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        return [
            f"CREATE TRIGGER IF NOT EXISTS {NO_UPDATE} BEFORE UPDATE ON {TABLE} {refuse}",
            f"CREATE TRIGGER IF NOT EXISTS {NO_DELETE} BEFORE DELETE ON {TABLE} {refuse}",
            # INSERT OR REPLACE deletes without asking the trigger of DELETE.
            f"CREATE TRIGGER IF NOT EXISTS {NO_REPLACE} BEFORE INSERT ON {TABLE} WHEN {taken} {refuse}",
        ]
    return [
        f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$",
        *(
            f"CREATE OR REPLACE TRIGGER {name} BEFORE {event} ON {TABLE} "
            f"FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()"
            for name, event in ((NO_UPDATE, "UPDATE"), (NO_DELETE, "DELETE"))
        ),
    ]
