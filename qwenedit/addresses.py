"""Where a request came from, by what the settings say of proxies."""

from django.conf import settings
from django.http import HttpRequest

from qwenedit.lib.http import client_address


def request_address(request: HttpRequest) -> str | None:
    """Return the client's address, or None where it can not be trusted."""
    return client_address(
        request.META.get("REMOTE_ADDR", ""),
        request.headers.get("X-Forwarded-For", ""),
        settings.TRUSTED_PROXY_COUNT,
    )
