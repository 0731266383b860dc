"""What log lines about a request carry."""

from typing import Any

import pytest
import structlog
from django.test import Client, override_settings
from django_structlog.signals import bind_extra_request_finished_metadata

HEADERS = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}


@pytest.mark.parametrize(
    ("proxies", "address"), [(0, "127.0.0.1"), (1, "198.51.100.7"), (2, "203.0.113.9"), (3, None)]
)
def test_log_lines_name_the_client_as_far_as_it_can_be_trusted(proxies: int, address: str | None) -> None:
    seen: list[dict[str, Any]] = []

    def look(**_signal: Any) -> None:
        seen.append(structlog.contextvars.get_contextvars())

    bind_extra_request_finished_metadata.connect(look)
    try:
        with override_settings(TRUSTED_PROXY_COUNT=proxies):
            Client().get("/healthz", headers=HEADERS)
    finally:
        bind_extra_request_finished_metadata.disconnect(look)

    assert [line["ip"] for line in seen] == [address]
