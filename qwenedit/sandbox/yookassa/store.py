"""Where records are kept: in memory, and in one SQLite file if a folder was given.

Owns: the file and its atomicity. Must not know what records mean.
`flush` writes all changes in one transaction: an idempotence key and what it made appear together.
"""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from qwenedit.sandbox.yookassa.records import Delivery, KeptAnswer, Payment, Refund, Setting

FILE = "yookassa.sqlite3"
SCHEMA = "CREATE TABLE IF NOT EXISTS record (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id))"
UPSERT = "INSERT INTO record VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body"


class Record(Protocol):
    """A dataclass with a text id."""

    id: str


R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """The records of one kind, oldest first."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind
        self.rows: dict[str, R] = {}
        self.changed: set[str] = set()

    def get(self, key: str) -> R | None:
        """Return a record, or None."""
        return self.rows.get(key)

    def save(self, record: R) -> None:
        """Keep a record that is new or has changed."""
        self.rows[record.id] = record
        self.changed.add(record.id)

    def delete(self, key: str) -> None:
        """Forget a record."""
        if self.rows.pop(key, None) is not None:
            self.changed.add(key)

    def newest_first(self) -> Iterator[R]:
        """Yield every record."""
        return reversed(self.rows.values())

    def clear(self) -> None:
        """Forget every record."""
        self.changed.update(self.rows)
        self.rows.clear()


class Store:
    """Every table. Raises sqlite3.Error if the file cannot be used."""

    def __init__(self, folder: Path | None) -> None:
        self.payments = Table(Payment)
        self.refunds = Table(Refund)
        self.answers = Table(KeptAnswer)
        self.deliveries = Table(Delivery)
        self.settings = Table(Setting)
        self._tables: tuple[Table[Any], ...] = (
            self.payments, self.refunds, self.answers, self.deliveries, self.settings,
        )  # fmt: skip
        self._file = None if folder is None else _open(folder)
        if self._file is not None:
            self._load(self._file)

    def flush(self) -> None:
        """Write what has changed since the last time."""
        for table in self._tables:
            changed, table.changed = table.changed, set()
            if self._file is None:
                continue
            name = table.kind.__name__
            for key in changed:
                record = table.rows.get(key)
                if record is None:
                    self._file.execute("DELETE FROM record WHERE kind = ? AND id = ?", (name, key))
                else:
                    self._file.execute(UPSERT, (name, key, json.dumps(asdict(record), ensure_ascii=False)))
        if self._file is not None:
            self._file.commit()

    def clear(self) -> None:
        """Forget everything."""
        for table in self._tables:
            table.clear()

    def close(self) -> None:
        """Write what has changed, and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()

    def _load(self, file: sqlite3.Connection) -> None:
        tables = {table.kind.__name__: table for table in self._tables}
        for kind, key, body in file.execute("SELECT kind, id, body FROM record ORDER BY rowid"):
            table = tables[kind]
            table.rows[key] = table.kind(**json.loads(body))


def _open(folder: Path) -> sqlite3.Connection:
    folder.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(folder / FILE)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    file.execute(SCHEMA)
    file.commit()
    return file
