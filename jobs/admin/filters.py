"""Filters of the list of edits. Their choices are known without reading the table, however long it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from jobs.comfy.errors import ComfyError
from jobs.models import Attempt, Job, Node


def _codes(error: type[ComfyError]) -> Iterator[str]:
    yield error.code
    for kind in error.__subclasses__():
        yield from _codes(kind)


class ErrorCodeFilter(SimpleListFilter):
    """Edits that failed for one reason."""

    title = _("error code")
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every code that an attempt can end with."""
        return [(code, code) for code in sorted({*_codes(ComfyError), "internal_error"})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """Keep the edits with that code."""
        return queryset.filter(error_code=self.value()) if self.value() else queryset


class NodeFilter(SimpleListFilter):
    """Edits that were tried on one node."""

    title = _("node")
    parameter_name = "node"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every node."""
        return [(str(pk), name) for pk, name in Node.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        """Keep the edits with an attempt there; each once, however many it had."""
        value = self.value()
        if not value:
            return queryset
        try:
            node = Node.objects.get(pk=value)
        except (Node.DoesNotExist, ValueError) as error:
            raise IncorrectLookupParameters from error
        return queryset.filter(pk__in=Attempt.objects.filter(node=node).values("job"))
