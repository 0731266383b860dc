"""Unexpected errors go to Sentry where SENTRY_DSN names one: without pictures, words or personal data."""

from typing import TYPE_CHECKING

import sentry_sdk
from django.conf import settings

from qwenedit.errors import DomainError

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


def start() -> None:
    """Begin reporting, once per process."""
    if settings.SENTRY_DSN:
        sentry_sdk.init(
            dsn=settings.SENTRY_DSN,
            send_default_pii=False,
            max_request_body_size="never",
            include_local_variables=False,
            before_send=_unexpected_only,
        )


def _unexpected_only(event: "Event", hint: "Hint") -> "Event | None":
    """Drop what is expected: a refusal is an answer, not an error."""
    error = hint.get("exc_info", (None, None, None))[1]
    return None if isinstance(error, DomainError) else event
