"""What does not add up is written down once, loudly, for a person to resolve."""

from __future__ import annotations

from typing import Any

import structlog
from django.utils import timezone

from payments.models import Discrepancy, Payment
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)


def record(
    kind: Discrepancy.Kind,
    gateway_id: str,
    detail: str,
    *,
    payment: Payment | None = None,
    raw: dict[str, Any] | None = None,
) -> Discrepancy:
    """Write a discrepancy down, once for each kind and object however often it is found."""
    discrepancy, created = Discrepancy.objects.get_or_create(
        kind=kind,
        gateway_id=gateway_id,
        defaults={"payment": payment, "detail": detail[:500], "raw": raw or {}},
    )
    if created:
        logger.error(
            "Money quarantined: a person must look",
            kind=str(kind),
            yukassa_payment_id=gateway_id,
            payment_id=payment.pk if payment else None,
            user_id=payment.user_id if payment else None,
            reason=detail,
        )
    return discrepancy


def explain(kind: Discrepancy.Kind, gateway_id: str, resolution: str) -> None:
    """Close a discrepancy that has explained itself, if there is one: what was missing is known by now."""
    closed = Discrepancy.objects.filter(kind=kind, gateway_id=gateway_id, resolved_at__isnull=True)
    if closed.update(resolved_at=timezone.now(), resolution=resolution[:300]):
        logger.info("Discrepancy resolved", kind=str(kind), gateway_id=gateway_id, how=resolution)


def resolve(discrepancy: Discrepancy, *, staff: User, resolution: str) -> None:
    """Note who settled a discrepancy, and how."""
    Discrepancy.objects.filter(pk=discrepancy.pk, resolved_at__isnull=True).update(
        resolved_at=timezone.now(), resolved_by=staff, resolution=resolution[:300]
    )
    logger.info("Discrepancy resolved", discrepancy_id=discrepancy.pk, staff_id=staff.pk, how=resolution)
