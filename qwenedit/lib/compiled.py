"""Queries whose SQL is made once: composing a large one costs Django more than the database needs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)
Argument = int | datetime

_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)
_NUMBER = 31_001  # within every kind of column: Django finds that nothing can match a number beyond it


class _Statement:
    """The SQL of a query for each kind of database, and where its arguments go.

    `build` is called once for each; it must use every argument as a value, never to decide how the query
    looks.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]]) -> None:
        self._build = build
        self._compiled: dict[str, tuple[type[Any], str, list[Any]]] = {}

    def fill(self, arguments: Iterable[Argument]) -> tuple[type[Any], str, list[Any]]:
        """Return model, SQL and parameters."""
        values = [_adapted(argument) for argument in arguments]
        if connection.vendor not in self._compiled:
            self._compiled[connection.vendor] = self._compile(values)
        model, sql, template = self._compiled[connection.vendor]
        return model, sql, [values[part.place] if isinstance(part, _Place) else part for part in template]

    def _compile(self, values: list[Any]) -> tuple[type[Any], str, list[Any]]:
        marks: list[Argument] = [
            _NUMBER + place if isinstance(value, int) else _MOMENT + timedelta(hours=place)
            for place, value in enumerate(values)
        ]
        rows = self._build(*marks)
        sql, parameters = rows.query.sql_with_params()
        places = {_adapted(mark): _Place(place) for place, mark in enumerate(marks)}
        return rows.model, sql, [places.get(parameter, parameter) for parameter in parameters]


class Compiled(Generic[M]):
    """A query of rows of one model, with arguments that are whole numbers or moments."""

    def __init__(self, build: Callable[..., QuerySet[M]]) -> None:
        self._statement = _Statement(build)

    def __call__(self, *arguments: Argument) -> list[M]:
        """Return the rows."""
        model, sql, parameters = self._statement.fill(arguments)
        return list(model._default_manager.raw(sql, parameters))


class CompiledNumbers:
    """A `values` query of whole numbers, with such arguments as `Compiled` has."""

    def __init__(self, build: Callable[..., QuerySet[Any, Any]]) -> None:
        self._statement = _Statement(build)

    def __call__(self, *arguments: Argument) -> list[tuple[Any, ...]]:
        """Return the rows."""
        _, sql, parameters = self._statement.fill(arguments)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())


class _Place:
    """Where an argument goes."""

    def __init__(self, place: int) -> None:
        self.place = place


def _adapted(value: Argument) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value
