"""How often somebody may do something, counted in the cache that all processes share.

Who is limited and what they are told is the caller's: the API answers 429, the bot says so in the chat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import structlog
from django.conf import settings
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError

from qwenedit.errors import DomainError

logger = structlog.get_logger(__name__)


class LimitsUnavailable(DomainError):
    """The count can not be kept at the moment."""

    code: ClassVar[str] = "gateway_unavailable"
    status: ClassVar[int] = 503
    retryable: ClassVar[bool] = True


@dataclass(frozen=True)
class RateLimit:
    """A limit: what it counts, its rate (django-ratelimit's spelling), and what the log calls reaching it."""

    name: str
    rate: Callable[[], str]
    sentence: str


@dataclass(frozen=True)
class Usage:
    """How much of a limit is used. `wait` is the seconds until it is free, 0 while it is not reached."""

    count: int
    wait: int


PAYMENTS = RateLimit("payments", lambda: settings.PAYMENT_RATE_LIMIT, "Payment rate limit exceeded")
PROMO_CODES = RateLimit("promo-codes", lambda: settings.PROMO_RATE_LIMIT, "Promo code rate limit exceeded")
BOT = RateLimit("bot", lambda: settings.BOT_RATE_LIMIT, "Bot rate limit exceeded")


def count(limit: RateLimit, who: str) -> Usage:
    """Count one use by `who` (`user:5`). Raises LimitsUnavailable."""
    if not settings.RATE_LIMIT_ENABLED:
        return Usage(0, 0)
    try:
        usage = get_usage(
            None, group=limit.name, key=lambda _group, _request: who, rate=limit.rate(), increment=True
        )
    except RedisError as error:
        raise _unavailable(str(error)) from error
    if usage is None:  # django-ratelimit itself is switched off
        return Usage(0, 0)
    if usage["limit"] == 0:
        raise _unavailable("the count was lost")
    return Usage(usage["count"], max(1, usage["time_left"]) if usage["should_limit"] else 0)


def _unavailable(reason: str) -> LimitsUnavailable:
    logger.error("Rate limits can not be counted: the cache does not answer", reason=reason)
    return LimitsUnavailable(
        "Payments are not possible at the moment. Nothing was charged; please try again in a minute."
    )
