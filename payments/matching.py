"""Which of our rows a gateway's object is, and what to do about one that is none of ours.

Trusts what the gateway itself answered, never a notification. Shared by the inbox and the comparison.
"""

from __future__ import annotations

from django.db.models import Q

from payments import amounts, discrepancies
from payments.gateways.base import RemotePayment, RemoteRefund, RemoteStatus
from payments.models import Discrepancy, Payment, Refund, RefundStatus
from payments.services import apply_remote


def payment_of(remote: RemotePayment) -> Payment | None:
    """Return our payment: by its id at the gateway, or by ours where the answer that named it was lost."""
    payment = Payment.objects.filter(gateway_id=remote.id).first()
    if payment is not None:
        return payment
    ours = _number(remote.metadata.get("payment_id", ""))
    if not ours:
        return None
    found = Payment.objects.filter(_unclaimed(remote.id), pk=ours).first()
    # Our key tells it from a payment that another system at the same shop numbers as we do.
    return found if found and str(found.key) == remote.metadata.get("key") else None


def refund_of(remote: RemoteRefund) -> Refund | None:
    """Return our refund: by its id at the gateway, or by ours where the answer that named it was lost."""
    refunds = Refund.objects.select_related("payment")
    refund = refunds.filter(gateway_id=remote.id).first()
    if refund is not None:
        return refund
    if remote.currency == amounts.STARS:  # given back once and in whole: whichever of ours waits is this one
        return refunds.filter(payment__gateway_id=remote.payment_id, status=RefundStatus.PENDING).first()
    ours = _number(remote.metadata.get("refund_id", ""))
    if not ours:
        return None
    return refunds.filter(_unclaimed(remote.id), pk=ours, payment__gateway_id=remote.payment_id).first()


def settle_payment(remote: RemotePayment) -> Payment | None:
    """Bring our payment to where the gateway says it is; quarantine one that was paid and is none of ours."""
    payment = payment_of(remote)
    if payment is not None:
        return apply_remote(payment, remote)
    if remote.status is RemoteStatus.SUCCEEDED:
        discrepancies.record(
            Discrepancy.Kind.UNKNOWN_PAYMENT,
            remote.id,
            f"{amounts.for_logs(remote.amount, remote.currency)} were paid for nothing that is known here",
            raw=dict(remote.raw),
        )
    return None


def _unclaimed(remote_id: str) -> Q:
    # The answer may be saved between the look-up by the gateway's id and this one.
    return Q(gateway_id__isnull=True) | Q(gateway_id=remote_id)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
