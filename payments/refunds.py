"""Giving money back: points first, then the gateway; what is unknown stays held until it is known.

    request_refund ── points taken, row committed ──▶ send_refund ──▶ PENDING ──▶ SUCCEEDED
                                                          │                └────▶ CANCELED, points back
                                                          └─ refused ───────────▶ CANCELED, points back

The sum of refunds that are pending or succeeded never exceeds what was paid. Locks: the payment's row,
then the user's (in the ledger).
"""

from __future__ import annotations

import uuid
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from payments import amounts, discrepancies, ledger
from payments.gateways.base import (
    GatewayRejected,
    GatewayUnavailable,
    NotFoundAtGateway,
    RemoteRefund,
    RemoteStatus,
)
from payments.gateways.registry import gateway_for
from payments.matching import payment_of, refund_of
from payments.models import Discrepancy, LedgerEntry, Payment, PaymentStatus, Refund, RefundStatus
from payments.services import CHECK_INTERVALS, apply_remote, payment_receipt
from payments.signals import payment_refunded
from qwenedit.errors import DomainError
from qwenedit.logs import report
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

# Within 24 hours the same key returns the same refund; after that a repetition would be a second one.
KEY_LIFETIME = timedelta(hours=23)
LISTS_LAG = timedelta(minutes=10)
HELD = (RefundStatus.PENDING, RefundStatus.SUCCEEDED)


class RefundRefused(DomainError):
    """The refund can not be made; the message says why."""

    code = "conflict"
    status = 409


def refundable_amount(payment: Payment) -> int:
    """Return how much of a payment can still be given back, in kopeks or Stars."""
    if payment.status != PaymentStatus.SUCCEEDED:
        return 0
    return payment.amount - _held(payment)[0]


def points_to_take(payment: Payment, amount: int, *, but: Refund | None = None) -> int:
    """Return the points of `amount` of a payment; the last refund takes what rounding has left.

    `but` is a refund that is left out of what was taken before: the one that is being made.
    """
    held, points_held = _held(payment, but=but)
    left = payment.points - points_held
    return left if held + amount == payment.amount else min(payment.points * amount // payment.amount, left)


def request_refund(
    *,
    payment: Payment,
    amount: int,
    reason: str,
    staff: User,
    form_token: uuid.UUID,
    force: bool = False,
) -> Refund:
    """Give `amount` (kopeks or Stars) of a payment back, and return the refund as it is afterwards.

    Once per `form_token`: a double click returns the first refund. The points are taken back before the
    gateway is asked; where the user has spent them it is refused, unless `force`, which takes what is there.
    Stars are given back in full only.
    Raises RefundRefused. An outcome that is unknown leaves the refund pending; the beat finds it out.
    """
    if not reason.strip():
        raise RefundRefused("A refund needs a reason.")
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(pk=payment.pk)
        earlier = Refund.objects.filter(form_token=form_token).first()
        if earlier is not None:
            return earlier
        left = refundable_amount(payment)
        if not 0 < amount <= left:
            asked, rest = (amounts.for_people(sum_, payment.currency) for sum_ in (amount, left))
            raise RefundRefused(f"{asked} can not be given back: {rest} of it are left.")
        if payment.gateway == Payment.Gateway.STARS:
            _check_stars(payment, amount)
        refund = Refund.objects.create(
            payment=payment,
            amount=amount,
            points=0,
            reason=reason.strip()[:200],
            staff=staff,
            form_token=form_token,
            is_forced=force,
            next_check_at=timezone.now() + CHECK_INTERVALS[0],
        )
        _take_points(refund, payment, force=force)
        refund.body = gateway_for(payment.gateway).refund_body(
            payment_id=str(payment.gateway_id),
            amount=amount,
            description=refund.reason,
            metadata=_metadata(refund, payment),
            # A full refund takes its receipt from the payment; a partial one must bring its own.
            receipt=None if amount == payment.amount else payment_receipt(payment),
        )
        refund.save(update_fields=["points", "body"])
        _log(refund, "Payment refund attempt", staff_id=staff.pk, reason=refund.reason)
    try:
        send_refund(refund, is_first=True)
    except (GatewayRejected, GatewayUnavailable) as error:
        logger.warning(
            "Payment refund not made yet", refund_id=refund.pk, reason=error.detail or error.message
        )
    refund.refresh_from_db()
    return refund


def send_refund(refund: Refund, *, is_first: bool) -> None:
    """Hand a committed refund to its gateway: always the same body under the same key.

    Raises GatewayUnavailable, and GatewayRejected. A refusal of the first call is final. That of a repetition
    says nothing of the call before it, whose answer was lost: then the gateway's own list decides.
    """
    try:
        remote = gateway_for(refund.payment.gateway).refund(body=refund.body, key=str(refund.key))
    except GatewayRejected as error:
        if is_first and _give_points_back(refund, error.reason or error.message, untouched=True):
            raise
        _find_among_refunds(refund, otherwise=error.reason or error.message)
        return
    Refund.objects.filter(pk=refund.pk, gateway_id__isnull=True).update(gateway_id=remote.id)
    apply_remote_refund(refund, remote)


def check_refund(refund: Refund) -> None:
    """Find out how a pending refund is: the gateway sends no news of one that is canceled."""
    now = timezone.now()
    interval = CHECK_INTERVALS[min(refund.checks, len(CHECK_INTERVALS) - 1)]
    scheduled = Refund.objects.filter(pk=refund.pk, status=RefundStatus.PENDING).update(
        checks=refund.checks + 1, next_check_at=now + interval
    )
    if not scheduled:  # decided meanwhile: sent again, one that was given up would happen after all
        return
    if refund.gateway_id is not None:
        try:
            remote = gateway_for(refund.payment.gateway).fetch_refund(refund.gateway_id)
        except NotFoundAtGateway:
            return
        apply_remote_refund(refund, remote)
    elif now - refund.created_at < KEY_LIFETIME:
        send_refund(refund, is_first=False)
    else:
        _find_among_refunds(refund, otherwise="never reached the gateway")


def apply_remote_refund(refund: Refund, remote: RemoteRefund) -> None:
    """Bring a refund to where the gateway says it is."""
    if remote.amount != refund.amount:
        discrepancies.record(
            Discrepancy.Kind.UNKNOWN_REFUND,
            remote.id,
            f"{amounts.for_logs(remote.amount, remote.currency)} instead of {refund.amount}",
            payment=refund.payment,
            raw=dict(remote.raw),
        )
        return
    if remote.status is RemoteStatus.SUCCEEDED:
        with transaction.atomic():
            changed = Refund.objects.filter(pk=refund.pk, status=RefundStatus.PENDING).update(
                status=RefundStatus.SUCCEEDED,
                gateway_id=remote.id,
                finished_at=timezone.now(),
                next_check_at=None,
            )
            if changed:
                refund.refresh_from_db()
                _announce(refund)
        if changed:
            _log(refund, "Payment refunded")
    elif remote.status is RemoteStatus.CANCELED:
        _give_points_back(refund, remote.cancellation_reason or "canceled")


def note_remote_refund(remote: RemoteRefund) -> None:
    """Take note of a refund the gateway knows: ours, one whose answer we lost, or one made in its cabinet."""
    refund = refund_of(remote)
    if refund is not None:
        apply_remote_refund(refund, remote)
    elif remote.status is RemoteStatus.SUCCEEDED:
        _record_external(remote)


def _record_external(remote: RemoteRefund) -> None:
    payment = _paid(remote)
    if payment is None:
        discrepancies.record(
            Discrepancy.Kind.UNKNOWN_REFUND, remote.id, "refund of an unknown payment", raw=dict(remote.raw)
        )
        return
    with transaction.atomic():
        payment = Payment.objects.select_for_update().get(pk=payment.pk)
        if Refund.objects.filter(gateway_id=remote.id).exists():
            return
        left = refundable_amount(payment)
        if remote.amount > left:
            given_back = amounts.for_logs(remote.amount, remote.currency)
            discrepancies.record(
                Discrepancy.Kind.UNKNOWN_REFUND,
                remote.id,
                f"{given_back} given back at the gateway, {left} were left",
                payment=payment,
                raw=dict(remote.raw),
            )
            return
        refund = Refund.objects.create(
            payment=payment,
            amount=remote.amount,
            points=0,
            status=RefundStatus.SUCCEEDED,
            reason="Made at the gateway",
            is_external=True,
            is_forced=True,
            gateway_id=remote.id,
            finished_at=timezone.now(),
        )
        _take_points(refund, payment, force=True)
        refund.save(update_fields=["points"])
        _announce(refund)
    _log(refund, "Payment refunded at the gateway")


def _announce(refund: Refund) -> None:
    """Send the news of a refund, and close what was open because it could not be placed."""
    discrepancies.explain(
        Discrepancy.Kind.UNKNOWN_REFUND, str(refund.gateway_id), f"It is refund {refund.pk} by now."
    )
    payment_refunded.send(sender=Refund, refund=refund)


def _paid(remote: RemoteRefund) -> Payment | None:
    """Return the payment of a refund. News come in any order: it may not be credited here yet."""
    payment = Payment.objects.filter(gateway_id=remote.payment_id).first()
    if remote.currency == amounts.STARS or (payment and payment.status == PaymentStatus.SUCCEEDED):
        return payment
    try:
        remote_payment = gateway_for(Payment.Gateway.YOOKASSA).fetch(remote.payment_id)
    except NotFoundAtGateway:
        return payment
    payment = payment_of(remote_payment)
    return payment and apply_remote(payment, remote_payment)


def _check_stars(payment: Payment, amount: int) -> None:
    if amount != payment.amount:
        raise RefundRefused("A payment in Stars can only be given back in full.")
    if payment.user.telegram_id is None:
        raise RefundRefused("Stars go back to an account at Telegram, and this user has none any more.")


def _metadata(refund: Refund, payment: Payment) -> dict[str, str]:
    """Return what tells the gateway, and later us, which refund it is; Stars go back to a person."""
    metadata = {"refund_id": str(refund.pk)}
    if payment.gateway == Payment.Gateway.STARS:
        metadata["payer"] = str(payment.user.telegram_id)
    return metadata


def _find_among_refunds(refund: Refund, *, otherwise: str) -> None:
    """Look a refund up in the gateway's list; what is not there did not happen, once lists have caught up."""
    window = {
        "since": refund.created_at - timedelta(minutes=5),
        "until": refund.created_at + KEY_LIFETIME * 2,
    }
    for remote in gateway_for(refund.payment.gateway).list_refunds(**window):
        if refund_of(remote) == refund:
            apply_remote_refund(refund, remote)
            return
    if timezone.now() - refund.created_at > LISTS_LAG:
        _give_points_back(refund, otherwise)


def _take_points(refund: Refund, payment: Payment, *, force: bool) -> None:
    points = points_to_take(payment, refund.amount, but=refund)
    if force:
        locked = User.objects.select_for_update(no_key=True)
        balance = locked.values_list("balance", flat=True).get(pk=payment.user_id)
        points = min(points, balance)
    refund.points = points
    try:
        ledger.post(
            user_id=payment.user_id,
            amount=-points,
            kind=LedgerEntry.Kind.PAYMENT_REFUND,
            key=f"refund:{refund.pk}",
            description=f"Refund of top-up {payment.pk}: {refund.reason}",
        )
    except ledger.InsufficientPoints as error:
        raise RefundRefused(
            f"{points} points would have to be taken back, the user has {error.extra['balance']}. "
            "Force the refund to take what is there."
        ) from error


def _give_points_back(refund: Refund, failure: str, *, untouched: bool = False) -> bool:
    """Give a pending refund up, and return whether that was done; `untouched`: if nobody else has sent it."""
    pending = Refund.objects.filter(pk=refund.pk, status=RefundStatus.PENDING)
    with transaction.atomic():
        changed = (pending.filter(checks=0, gateway_id=None) if untouched else pending).update(
            status=RefundStatus.CANCELED,
            failure=failure[:200],
            finished_at=timezone.now(),
            next_check_at=None,
        )
        if not changed:
            return False
        refund.refresh_from_db()
        ledger.post(
            user_id=refund.payment.user_id,
            amount=refund.points,
            kind=LedgerEntry.Kind.PAYMENT_REFUND,
            key=f"refund:{refund.pk}:returned",
            description=f"Refund of top-up {refund.payment_id} did not happen",
        )
    _log(refund, "Payment refund failed", reason=failure)
    return True


def _held(payment: Payment, *, but: Refund | None = None) -> tuple[int, int]:
    """Return money and points that are given back or on their way."""
    refunds = payment.refunds.filter(status__in=HELD)
    if but is not None:
        refunds = refunds.exclude(pk=but.pk)
    sums = refunds.aggregate(amount=Sum("amount"), points=Sum("points"))
    return sums["amount"] or 0, sums["points"] or 0


def _log(refund: Refund, sentence: str, **extra: object) -> None:
    is_rubles = refund.payment.currency != amounts.STARS
    fields = {
        "refund_id": refund.pk,
        "payment_id": refund.payment_id,
        "user_id": refund.payment.user_id,
        "amount": amounts.for_logs(refund.amount, refund.payment.currency),
        "points": refund.points,
        "status": refund.status,
        "yukassa_refund_id" if is_rubles else "telegram_charge_id": refund.gateway_id,
        **extra,
    }
    report(logger, sentence, fields)
