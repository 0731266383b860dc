"""How often one may ask for what costs money to answer: counted before anything else about a request.

Counts live in the cache that all processes share. Where it does not answer, nothing is allowed: the limits
guard money.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any, ClassVar

import structlog
from django.conf import settings
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from qwenedit import rate_limits
from qwenedit.addresses import request_address
from qwenedit.api.base import ApiView
from qwenedit.logs import report
from qwenedit.rate_limits import RateLimit
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

IPV6_SUBSCRIBER = 64  # bits: what one subscriber is given, and can choose addresses from


class RateLimitedView(ApiView):
    """Base of views whose POST requests `rate_limit` counts, per user, or per address for strangers."""

    rate_limit: ClassVar[RateLimit]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Count the request, then check keys and scopes: guessing those is limited too."""
        if request.method == "POST" and settings.RATE_LIMIT_ENABLED:
            refusal: AuthenticationFailed | None = None
            try:
                user = request.user
            except AuthenticationFailed as error:  # DRF would forget it: whoever asks again is a stranger
                user, refusal = None, error
            check_rate(request, self.rate_limit, user_id=user.pk if isinstance(user, User) else None)
            if refusal is not None:
                raise refusal
        super().initial(request, *args, **kwargs)


def check_rate(request: Request, limit: RateLimit, *, user_id: int | None) -> None:
    """Count one request. Raises Throttled with the seconds to wait, or LimitsUnavailable."""
    address = request_address(request._request)
    who = f"user:{user_id}" if user_id else f"address:{_subscriber(address)}"
    wait = rate_limits.count(limit, who).wait
    if wait:
        fields = {"user_id": user_id, "ip": address, "retry_after": wait}
        report(logger, limit.sentence, fields, level="warning")
        raise Throttled(wait=wait)


def _subscriber(address: str | None) -> str:
    if address is None:
        return "unknown"
    return str(ip_network(f"{address}/{IPV6_SUBSCRIBER}", strict=False)) if ":" in address else address
