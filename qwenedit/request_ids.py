"""What our log lines about a request carry: its id, which every answer names, and where it came from."""

from typing import Any

import structlog
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django_structlog.signals import (
    bind_extra_request_finished_metadata,
    bind_extra_request_metadata,
    update_failure_response,
)

from qwenedit.addresses import request_address


@receiver(bind_extra_request_metadata)
def name_client(request: HttpRequest, **_signal: Any) -> None:
    """Let log lines carry the client's address, as far as it can be trusted."""
    structlog.contextvars.bind_contextvars(ip=request_address(request))


@receiver([bind_extra_request_finished_metadata, update_failure_response])
def name_request(response: HttpResponseBase, **_signal: Any) -> None:
    """Tell the client the id of its request."""
    response["X-Request-ID"] = structlog.contextvars.get_contextvars()["request_id"]
