"""The database itself refuses to change or delete ledger entries, however it is asked."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from payments import triggers
from payments.models import LedgerEntry
from qwenedit.users.models import User


def execute(statement: str, *values: int | str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "QuerySet.update": lambda: LedgerEntry.objects.update(amount=1_000_000),
    "QuerySet.delete": lambda: LedgerEntry.objects.all().delete(),
    "bulk_update": lambda: LedgerEntry.objects.bulk_update(LedgerEntry.objects.all(), ["description"]),
    "raw UPDATE": lambda: execute("UPDATE payments_ledgerentry SET description = 'nothing to see'"),
    "UPSERT": lambda: LedgerEntry.objects.bulk_create(
        [
            LedgerEntry(
                user=User.objects.get(), amount=999, balance_after=999, key=LedgerEntry.objects.get().key
            )
        ],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["amount"],
    ),
    "raw DELETE": lambda: execute("DELETE FROM payments_ledgerentry"),
    "update of one": lambda: LedgerEntry.objects.filter(key__startswith="user:").update(key="x"),
}


@pytest.mark.parametrize("way", ATTEMPTS)
def test_an_entry_is_neither_changed_nor_deleted(each_database: str, alice: User, way: str) -> None:
    before = list(LedgerEntry.objects.values())
    with pytest.raises(DatabaseError, match=triggers.REFUSAL), transaction.atomic():
        ATTEMPTS[way]()
    assert list(LedgerEntry.objects.values()) == before
    assert len(before) == 1


@pytest.mark.parametrize("conflict", ["id", "key"])
def test_an_entry_is_not_replaced_on_sqlite(transactional_db: None, alice: User, conflict: str) -> None:
    entry = alice.ledger_entries.get()
    entry_id, key = (entry.pk, "grant:new") if conflict == "id" else (entry.pk + 1, entry.key)
    with pytest.raises(DatabaseError, match=triggers.REFUSAL), transaction.atomic():
        execute(
            "INSERT OR REPLACE INTO payments_ledgerentry "
            "(id, user_id, amount, balance_after, kind, key, description, created_at) "
            "VALUES (%s, %s, 999, 999, 'grant', %s, '', CURRENT_TIMESTAMP)",
            entry_id,
            alice.pk,
            key,
        )
    assert alice.ledger_entries.get().amount == entry.amount


def test_new_entries_are_welcome(each_database: str, alice: User) -> None:
    LedgerEntry.objects.create(user=alice, amount=0, balance_after=alice.balance, kind="grant", key="grant:1")
    assert alice.ledger_entries.count() == 2


def test_they_are_there_after_migrating_again_and_twice(each_database: str, alice: User) -> None:
    call_command("migrate", interactive=False, verbosity=0)
    call_command("migrate", interactive=False, verbosity=0)
    assert triggers.missing() == []


def test_they_survive_a_migration_that_rebuilds_the_table(alice: User, each_database: str) -> None:
    editor: Any
    with connection.schema_editor() as editor:
        if each_database == "sqlite":
            editor._remake_table(LedgerEntry)
        else:
            drop_triggers()  # PostgreSQL alters tables in place: somebody must have dropped them
    assert triggers.missing() == sorted(triggers.names(connection))
    call_command("migrate", interactive=False, verbosity=0)
    assert triggers.missing() == []
    with pytest.raises(DatabaseError, match=triggers.REFUSAL):
        LedgerEntry.objects.all().delete()


def test_each_one_that_is_dropped_is_missed(each_database: str, alice: User) -> None:
    for name in triggers.names(connection):
        execute(f"DROP TRIGGER {name}{on_table()}")
        try:
            assert triggers.missing() == [name]
        finally:
            triggers.install()
    assert triggers.missing() == []


@pytest.mark.postgres
def test_one_that_was_switched_off_is_missed(alice: User) -> None:
    name = triggers.NO_UPDATE
    execute(f"ALTER TABLE {triggers.TABLE} DISABLE TRIGGER {name}")
    try:
        assert triggers.missing() == [name]
    finally:
        execute(f"ALTER TABLE {triggers.TABLE} ENABLE TRIGGER {name}")
    assert triggers.missing() == []


def test_one_of_the_same_name_elsewhere_does_not_count(alice: User, each_database: str) -> None:
    name = triggers.NO_DELETE
    execute(f"DROP TRIGGER {name}{on_table()}")
    try:
        if each_database == "sqlite":
            execute(f"CREATE TRIGGER {name} BEFORE DELETE ON users_user BEGIN SELECT 1; END")
        else:
            execute(
                f"CREATE TRIGGER {name} BEFORE DELETE ON users_user "
                f"FOR EACH ROW EXECUTE FUNCTION {triggers.TABLE}_refuse()"
            )
        assert triggers.missing() == [name]
    finally:
        execute(f"DROP TRIGGER IF EXISTS {name}" + (" ON users_user" if each_database != "sqlite" else ""))
        triggers.install()
    assert triggers.missing() == []


def on_table() -> str:
    return f" ON {triggers.TABLE}" if connection.vendor == "postgresql" else ""


def drop_triggers() -> None:
    for name in triggers.names(connection):
        execute(f"DROP TRIGGER {name}{on_table()}")
