"""Pages by cursor: stable while new rows arrive."""

from __future__ import annotations

import re
from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

ID = re.compile(r"[0-9]{1,18}")


class NewestFirst(CursorPagination):
    """Newest rows first; `page_size` up to 100."""

    ordering = "-id"
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a page: DRF's own marks null as OpenAPI 3.0 did, which 3.1 does not read."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def decode_cursor(self, request: Request) -> Any:
        """Return the cursor of the request, or None. Raises ValidationError where no page of ours gave it."""
        try:
            cursor = super().decode_cursor(request)
        except NotFound as error:
            raise _unknown_cursor() from error
        # DRF hands whatever the cursor holds to the database.
        position: Any = cursor.position if cursor else None
        if position is not None and ID.fullmatch(position) is None:
            raise _unknown_cursor()
        return cursor


def _unknown_cursor() -> ValidationError:
    return ValidationError({"cursor": ["No page has this cursor. Follow `next` and `previous`."]})
