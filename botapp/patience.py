"""Limits on what costs money or could be guessed: who does it too often is told when to come back."""

from __future__ import annotations

from math import ceil

import structlog

from botapp.turn import Turn
from qwenedit import rate_limits
from qwenedit.logs import report
from qwenedit.rate_limits import RateLimit

logger = structlog.get_logger(__name__)

LONGEST_IN_SECONDS = 120


def is_too_often(turn: Turn, limit: RateLimit) -> bool:
    """Count one use, and tell the person where it was one too many. Raises LimitsUnavailable."""
    wait = rate_limits.count(limit, f"user:{turn.user.pk}").wait
    if not wait:
        return False
    report(logger, limit.sentence, {"user_id": turn.user.pk, "retry_after": wait}, level="warning")
    turn.acknowledge()
    if wait <= LONGEST_IN_SECONDS:
        turn.say(turn.texts("topup.too_often", count=wait))
    else:
        turn.say(turn.texts("topup.too_often_minutes", count=ceil(wait / 60)))
    return True
