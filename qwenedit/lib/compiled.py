"""Statements whose SQL is made once: composing one costs Django more than the database needs for it.

For the few that every edit and every update goes through; all others are plain querysets. `build` of a
statement is called once for each kind of database: it must use every argument as a value, never to decide
how the statement looks. Calling a statement sends it; `together` sends several that do not need each other's
answers, for on its way a statement costs more than in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model, QuerySet
from django.db.models.constants import OnConflict
from django.db.models.query import get_related_populators
from django.db.models.sql import InsertQuery, UpdateQuery
from django.db.transaction import get_connection

M = TypeVar("M", bound=Model)
T = TypeVar("T")
Argument = int | datetime | UUID | str
Written = tuple[str, tuple[Any, ...]]

_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)
_NUMBER = 31_001  # within every kind of column: Django finds that nothing can match a number beyond it


@dataclass(frozen=True)
class Asked(Generic[T]):
    """A statement with its arguments; `read` takes the answer from a cursor."""

    sql: str
    parameters: Sequence[Any]
    read: Callable[[Any], T]


def together(*statements: Asked[Any]) -> list[Any]:
    """Send statements in one message, and return what calling each would, in their order.

    They are carried out one after another, each seeing what those before it did, and what others committed
    while one of them waited for a lock. Writes belong into a transaction: without, PostgreSQL makes one of
    them all, and SQLite one of each.
    """
    database = get_connection()
    with database.cursor() as cursor:
        if database.vendor == "sqlite":
            return [_ask(statement, cursor) for statement in statements]
        parameters = [value for statement in statements for value in statement.parameters]
        cursor.execute("; ".join(statement.sql for statement in statements), parameters)
        answers = []
        for statement in statements:
            answers.append(statement.read(cursor))
            cursor.nextset()
        return answers


def _send(statement: Asked[T]) -> T:
    with get_connection().cursor() as cursor:
        return _ask(statement, cursor)


def _ask(statement: Asked[T], cursor: Any) -> T:
    cursor.execute(statement.sql, statement.parameters)
    return statement.read(cursor)


class _Statement:
    """The SQL of a statement for each kind of database, and where its arguments go."""

    def __init__(self, write: Callable[[list[Argument]], Written]) -> None:
        self._write = write
        self._compiled: dict[str, tuple[str, list[Any]]] = {}

    def fill(self, arguments: Sequence[Argument], database: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return SQL and parameters."""
        values = [_adapted(argument, database) for argument in arguments]
        if database.vendor not in self._compiled:
            self._compiled[database.vendor] = self._compile(arguments, database)
        sql, template = self._compiled[database.vendor]
        return sql, [values[part.place] if isinstance(part, _Place) else part for part in template]

    def _compile(self, arguments: Sequence[Argument], database: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        marks = [_mark(argument, place) for place, argument in enumerate(arguments)]
        sql, parameters = self._write(marks)
        places = {_adapted(mark, database): _Place(place) for place, mark in enumerate(marks)}
        return sql, [_place_of(parameter, places) for parameter in parameters]


class Compiled(Generic[M]):
    """A query of rows of one model, with arguments that are numbers, moments, UUIDs or words.

    Its `only`, annotations and `select_related` are those of the rows it returns.
    """

    def __init__(self, build: Callable[..., QuerySet[M]]) -> None:
        self._build = build
        self._statement = _Statement(self._write)
        self._readers: dict[str, _Reader] = {}

    def __call__(self, *arguments: Argument) -> list[M]:
        """Return the rows."""
        return _send(self.of(*arguments))

    def of(self, *arguments: Argument) -> Asked[list[M]]:
        """Return the statement with its arguments, for `together`."""
        database = get_connection()
        statement = self._statement.fill(arguments, database)
        reader = self._readers[database.vendor]
        return Asked(*statement, lambda cursor: reader.rows(cursor.fetchall()))

    def _write(self, marks: list[Argument]) -> Written:
        query = self._build(*marks).query
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        self._readers[compiler.connection.vendor] = _Reader(compiler)
        return sql, parameters


class _Reader:
    """Makes instances of what a query selects, as Django's own ModelIterable does for every query anew."""

    def __init__(self, compiler: Any) -> None:
        info, select = compiler.klass_info, compiler.select
        self._model = info["model"]
        fields = info["select_fields"]
        self._columns = slice(fields[0], fields[-1] + 1)
        self._names = [column[0].target.attname for column in select[self._columns]]
        self._related = get_related_populators(info, select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg]
        self._annotations = list(compiler.annotation_col_map.items())
        self._compiler = compiler
        self._converters = compiler.get_converters([column[0] for column in select])

    def rows(self, found: list[Any]) -> list[Any]:
        if self._converters:
            found = [tuple(row) for row in self._compiler.apply_converters(found, self._converters)]
        return [self._row(values) for values in found]

    def _row(self, values: tuple[Any, ...]) -> Any:
        row = self._model.from_db(DEFAULT_DB_ALIAS, self._names, values[self._columns])
        for related in self._related:
            related.populate(values, row)
        for name, column in self._annotations:
            setattr(row, name, values[column])
        return row


class CompiledNumbers:
    """A `values` query of whole numbers, with such arguments as `Compiled` has."""

    def __init__(self, build: Callable[..., QuerySet[Any, Any]]) -> None:
        self._statement = _Statement(lambda marks: build(*marks).query.sql_with_params())

    def __call__(self, *arguments: Argument) -> list[tuple[Any, ...]]:
        """Return the rows."""
        return _send(self.of(*arguments))

    def of(self, *arguments: Argument) -> Asked[list[tuple[Any, ...]]]:
        """Return the statement with its arguments, for `together`."""
        filled = self._statement.fill(arguments, get_connection())
        return Asked(*filled, lambda cursor: list(cursor.fetchall()))


class CompiledUpdate:
    """An update with such arguments as `Compiled` has; `build` returns the rows and their new values."""

    def __init__(self, build: Callable[..., tuple[QuerySet[Any, Any], Mapping[str, Any]]]) -> None:
        def write(marks: list[Argument]) -> Written:
            rows, values = build(*marks)
            query: Any = rows.query.chain(UpdateQuery)
            query.add_update_values(values)
            sql, parameters = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
            return sql, parameters

        self._statement = _Statement(write)

    def __call__(self, *arguments: Argument) -> int:
        """Update the rows; return how many they were."""
        return _send(self.of(*arguments))

    def of(self, *arguments: Argument) -> Asked[int]:
        """Return the statement with its arguments, for `together`."""
        return Asked(*self._statement.fill(arguments, get_connection()), lambda cursor: cursor.rowcount)


class CompiledInsert(Generic[M]):
    """The insert of a new row, as `save` makes it, but without signals.

    With `once` a row that is there already is no error.
    """

    def __init__(self, model: type[M], *, once: bool = False) -> None:
        self._model = model
        self._once = once
        self._sql: dict[str, str] = {}

    def __call__(self, row: M) -> bool:
        """Insert it; its key is set. Returns False where it is there already."""
        return _send(self.of(row))

    def of(self, row: M) -> Asked[bool]:
        """Return the statement that inserts the row, for `together`."""
        key = self._model._meta.pk
        fields = [
            field
            for field in self._model._meta.local_concrete_fields
            if field is not key or row.pk is not None
        ]
        database = get_connection()
        if database.vendor not in self._sql:
            self._sql[database.vendor] = self._compile(row, fields, key)
        values = [field.get_db_prep_save(field.pre_save(row, add=True), database) for field in fields]

        def read(cursor: Any) -> bool:
            inserted = cursor.fetchone()
            if inserted is None:
                return False
            if row.pk is None:
                row.pk = inserted[0]
            row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
            return True

        return Asked(self._sql[database.vendor], values, read)

    def _compile(self, row: M, fields: list[Field[Any, Any]], key: Field[Any, Any]) -> str:
        query = InsertQuery(self._model, on_conflict=OnConflict.IGNORE if self._once else None)
        query.insert_values(fields, [row])
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        compiler.returning_fields = [key]
        [(sql, _)] = compiler.as_sql()
        return str(sql)


class _Place:
    """Where an argument goes."""

    def __init__(self, place: int) -> None:
        self.place = place


def _mark(argument: Argument, place: int) -> Argument:
    """Return a value of the argument's kind that no statement has for another reason."""
    if isinstance(argument, datetime):
        return _MOMENT + timedelta(hours=place)
    if isinstance(argument, UUID):
        return UUID(int=_NUMBER + place)
    return f"argument {place}" if isinstance(argument, str) else _NUMBER + place


def _place_of(parameter: Any, places: Mapping[Any, _Place]) -> Any:
    try:
        return places.get(parameter, parameter)
    except TypeError:  # JSON, and what else has no hash
        return parameter


def _adapted(value: Argument, database: BaseDatabaseWrapper) -> Any:
    if isinstance(value, datetime):
        return database.ops.adapt_datetimefield_value(value)
    if isinstance(value, UUID) and not database.features.has_native_uuid_field:
        return value.hex
    return value
