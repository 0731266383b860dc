"""Where records are kept: in memory, and in one SQLite file if a folder was given.

Owns: the file and its atomicity. Must not know what records mean.
`flush` writes all changes in one transaction: a message and the update that tells of it appear together.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from qwenedit.sandbox.telegram.records import Charge, Chat, Message, Person, Setting, StoredFile, Update

FILE = "telegram.sqlite3"
SCHEMA = "CREATE TABLE IF NOT EXISTS record (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id))"
UPSERT = "INSERT INTO record VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body"


class Record(Protocol):
    """A dataclass with a text key."""

    @property
    def key(self) -> str:
        """Its name within its table."""


R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """The records of one kind, oldest first."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind
        self.rows: dict[str, R] = {}
        self.changed: set[str] = set()

    def get(self, key: str | int) -> R | None:
        """Return a record, or None."""
        return self.rows.get(str(key))

    def save(self, record: R) -> None:
        """Keep a record that is new or has changed."""
        self.rows[record.key] = record
        self.changed.add(record.key)

    def delete(self, key: str | int) -> None:
        """Forget a record."""
        if self.rows.pop(str(key), None) is not None:
            self.changed.add(str(key))

    def clear(self) -> None:
        """Forget every record."""
        self.changed.update(self.rows)
        self.rows.clear()


class Store:
    """Every table. Raises sqlite3.Error if the file cannot be used."""

    def __init__(self, folder: Path | None) -> None:
        self.people = Table(Person)
        self.chats = Table(Chat)
        self.messages = Table(Message)
        self.files = Table(StoredFile)
        self.updates = Table(Update)
        self.charges = Table(Charge)
        self.settings = Table(Setting)
        self._tables: tuple[Table[Any], ...] = (
            self.people, self.chats, self.messages, self.files, self.updates, self.charges, self.settings,
        )  # fmt: skip
        self._file = None if folder is None else _open(folder)
        if self._file is not None:
            self._load(self._file)

    def setting(self, name: str, default: Any = None) -> Any:
        """Return the value of a setting."""
        found = self.settings.get(name)
        return default if found is None else found.value

    def set(self, name: str, value: Any) -> None:
        """Change a setting."""
        self.settings.save(Setting(name, value))

    def flush(self) -> None:
        """Write what has changed since the last time."""
        is_changed = False
        for table in self._tables:
            if not table.changed:
                continue
            changed, table.changed = table.changed, set()
            if self._file is None:
                continue
            is_changed = True
            name = table.kind.__name__
            for key in changed:
                record = table.rows.get(key)
                if record is None:
                    self._file.execute("DELETE FROM record WHERE kind = ? AND id = ?", (name, key))
                else:
                    body = json.dumps(vars(record), ensure_ascii=False)
                    self._file.execute(UPSERT, (name, key, body))
        if self._file is not None and is_changed:
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
