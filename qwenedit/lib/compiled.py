"""Queries whose SQL is made once: composing a large one costs Django more than the database needs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)

_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)
_NUMBER = 987_654_321_000


class Compiled(Generic[M]):
    """A query of rows of one model, with arguments that are whole numbers or moments.

    `build` gets the arguments and returns the query set; it is called once for each kind of database, and
    must use every argument as a value, never to decide how the query looks.
    """

    def __init__(self, build: Callable[..., QuerySet[M]]) -> None:
        self._build = build
        self._statements: dict[str, tuple[type[M], str, list[Any]]] = {}

    def __call__(self, *arguments: int | datetime) -> list[M]:
        """Return the rows."""
        if connection.vendor not in self._statements:
            self._statements[connection.vendor] = self._compile(arguments)
        model, sql, template = self._statements[connection.vendor]
        values = [_adapted(argument) for argument in arguments]
        parameters = [values[entry.place] if isinstance(entry, _Place) else entry for entry in template]
        return list(model._default_manager.raw(sql, parameters))

    def _compile(self, arguments: Iterable[int | datetime]) -> tuple[type[M], str, list[Any]]:
        marks = [
            _MOMENT + timedelta(hours=place) if isinstance(argument, datetime) else _NUMBER + place
            for place, argument in enumerate(arguments)
        ]
        rows = self._build(*marks)
        sql, parameters = rows.query.sql_with_params()
        places = {_adapted(mark): _Place(place) for place, mark in enumerate(marks)}
        return rows.model, sql, [places.get(parameter, parameter) for parameter in parameters]


class _Place:
    """Where an argument goes."""

    def __init__(self, place: int) -> None:
        self.place = place


def _adapted(value: int | datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value
