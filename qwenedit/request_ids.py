"""`X-Request-ID` on every answer: the id that our log lines about the request carry."""

from typing import Any

import structlog
from django.dispatch import receiver
from django.http import HttpResponseBase
from django_structlog.signals import bind_extra_request_finished_metadata, update_failure_response


@receiver([bind_extra_request_finished_metadata, update_failure_response])
def name_request(response: HttpResponseBase, **_signal: Any) -> None:
    """Tell the client the id of its request."""
    response["X-Request-ID"] = structlog.contextvars.get_contextvars()["request_id"]
