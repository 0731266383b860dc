"""Where a payment stands, for a buyer who waits for the answer: asked at the gateway, but not for long."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import structlog

from payments.gateways.base import GatewayError
from payments.gateways.registry import gateway_for
from payments.models import Payment, PaymentStatus
from payments.services import apply_remote

logger = structlog.get_logger(__name__)

PATIENCE = 4.0  # seconds
# A gateway that hangs holds these threads, and none that serve other pages.
_asking = ThreadPoolExecutor(max_workers=8, thread_name_prefix="payment-standing")


def ask_standing(payment: Payment) -> tuple[Payment, bool]:
    """Ask the gateway once and act on its answer; return the payment, and whether there was an answer.

    A payment that was given up is asked for as well: its link can be paid late.
    """
    if payment.status == PaymentStatus.SUCCEEDED:
        return payment, True
    if payment.gateway_id is None:
        return payment, payment.status != PaymentStatus.PENDING
    answer = _asking.submit(gateway_for(payment.gateway).fetch, payment.gateway_id)
    try:
        remote = answer.result(PATIENCE)
    except (GatewayError, TimeoutError) as error:
        answer.cancel()
        reason = error.detail if isinstance(error, GatewayError) else f"no answer in {PATIENCE:g} s"
        logger.warning("Payment is checked later", payment_id=payment.pk, reason=reason)
        return payment, False
    return apply_remote(payment, remote), True
