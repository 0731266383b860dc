"""Top-ups in Telegram Stars: what they cost, the invoice, and the charge that pays it.

    start_stars_payment ──▶ invoice in a chat ──▶ why_not ──▶ confirm_charge ──▶ credited
         row, PENDING         payload = our key    before           after it was paid

An invoice names what is bought, a charge is the money: each charge credits once, whatever is delivered twice.
An invoice that is paid again, or by somebody else, is a payment of whoever paid. Knows no chats and no words
that people read.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from payments import discrepancies
from payments.amounts import STARS, for_logs
from payments.gateways.base import RemotePayment, RemoteRefund, RemoteStatus
from payments.gateways.registry import gateway_for
from payments.models import Discrepancy, Payment, PaymentStatus
from payments.refunds import note_remote_refund
from payments.services import (
    LIFETIME,
    InvalidPayment,
    cancel_payment,
    confirm_payment,
    earlier_payment,
    offer_for,
)
from qwenedit.logs import report
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

EXPIRED_AT_ONCE = 500
# Telegram's clock and ours need not agree.
CLOCKS_APART = timedelta(minutes=5)


@dataclass(frozen=True)
class StarsOffer:
    """What a top-up of a sum in rubles costs in Stars, and brings: exactly what will be credited."""

    stars: int
    points: int


class Refusal(StrEnum):
    """Why an invoice must not be paid."""

    SWITCHED_OFF = "switched_off"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    SOMEBODY_ELSES = "somebody_elses"
    PAID = "paid"
    EXPIRED = "expired"
    DIFFERENT = "different"


def offer_in_stars(rubles: int) -> StarsOffer:
    """Return what a top-up of `rubles` costs in Stars; a package's bonus costs nothing here either."""
    base = rubles * settings.POINTS_PER_RUBLE
    return StarsOffer(stars=-(-base // settings.POINTS_PER_STAR), points=offer_for(rubles).points)


def start_stars_payment(
    *, user: User, rubles: int, idempotency_key: str | None = None, request_id: str = ""
) -> Payment:
    """Create a top-up that is to be paid by an invoice; its `key` is the invoice's payload.

    Raises InvalidPayment, or PaymentKeyReused.
    """
    _check(user, rubles)
    offer = offer_in_stars(rubles)
    fingerprint = hashlib.sha256(json.dumps([rubles, Payment.Method.STARS]).encode()).hexdigest()
    now = timezone.now()
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        payment = earlier_payment(user, idempotency_key, fingerprint)
        if payment is not None:
            return payment
        payment = Payment.objects.create(
            user=user,
            gateway=Payment.Gateway.STARS,
            method=Payment.Method.STARS,
            amount=offer.stars,
            currency=STARS,
            points=offer.points,
            created_at=now,
            next_check_at=now + LIFETIME,
            request_id=request_id,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )
    fields = {
        "payment_id": payment.pk,
        "user_id": user.pk,
        "amount": for_logs(payment.amount, STARS),
        "status": payment.status,
    }
    report(logger, "Payment created successfully", fields, method=payment.method)
    return payment


def why_not(*, payload: str, payer_id: int, total: int, currency: str) -> Refusal | None:
    """Return why whoever has the Telegram id `payer_id` must not pay an invoice now, or nothing.

    Whoever pays all the same is credited by `confirm_charge`: money that came is never refused.
    """
    payment = _invoiced(payload)
    if not settings.STARS_ENABLED:
        return Refusal.SWITCHED_OFF
    if payment is None:
        return Refusal.UNKNOWN
    if payment.user.telegram_id != payer_id:
        return Refusal.SOMEBODY_ELSES
    if payment.user.is_blocked or not payment.user.is_active:
        return Refusal.BLOCKED
    if payment.status == PaymentStatus.SUCCEEDED:
        return Refusal.PAID
    if payment.status != PaymentStatus.PENDING or payment.created_at + LIFETIME <= timezone.now():
        return Refusal.EXPIRED
    if (total, currency) != (payment.amount, payment.currency):
        return Refusal.DIFFERENT
    return None


def confirm_charge(*, charge_id: str, payload: str, payer: User, total: int, currency: str) -> Payment | None:
    """Credit a charge, once; return the payment it has paid, or None where it was quarantined.

    `payer` is who paid, which need not be whom the invoice was sent to.
    """
    earlier = _charged(charge_id)
    if earlier is not None:
        return earlier
    payment = _invoiced(payload)
    raw = {"payload": payload, "user_id": payer.telegram_id, "amount": total, "currency": currency}
    if payment is None:
        paid = for_logs(total, currency)
        problem = f"{paid} were paid by user {payer.pk} for an invoice that is not known here"
        discrepancies.record(Discrepancy.Kind.UNKNOWN_PAYMENT, charge_id, problem, raw=raw)
        return None
    if (total, currency) != (payment.amount, payment.currency):
        problem = f"{total} {currency} instead of {payment.amount} {payment.currency}"
        discrepancies.record(Discrepancy.Kind.MISMATCH, charge_id, problem, payment=payment, raw=raw)
        return None
    if payment.user_id == payer.pk and confirm_payment(payment_id=payment.pk, remote_id=charge_id):
        payment.refresh_from_db()
        return payment
    # Paid before, by another charge or another delivery of this one; or it is somebody else's invoice.
    return _charged(charge_id) or _pay_again(payment, charge_id, payer)


def settle(remote: RemotePayment) -> Payment | None:
    """Credit a charge of Telegram's list, as `confirm_charge` does."""
    payer_id = remote.metadata.get("payer", "")
    payer = User.objects.filter(telegram_id=int(payer_id)).first() if payer_id else None
    if payer is None:
        paid = for_logs(remote.amount, remote.currency)
        problem = f"{paid} were paid by somebody who is not known here"
        discrepancies.record(Discrepancy.Kind.UNKNOWN_PAYMENT, remote.id, problem, raw=dict(remote.raw))
        return None
    return confirm_charge(
        charge_id=remote.id,
        payload=remote.metadata.get("key", ""),
        payer=payer,
        total=remote.amount,
        currency=remote.currency,
    )


def note_refund(*, charge_id: str, total: int) -> None:
    """Take note that Telegram gave a charge back: at our request, or at somebody else's."""
    note_remote_refund(
        RemoteRefund(
            id=charge_id,
            payment_id=charge_id,
            status=RemoteStatus.SUCCEEDED,
            amount=total,
            currency=STARS,
            created_at=timezone.now(),
        )
    )


def check_invoice(payment: Payment) -> Payment:
    """Look an invoice up in Telegram's list, and credit what paid it. Raises GatewayError."""
    since = payment.created_at - CLOCKS_APART
    until = timezone.now() + CLOCKS_APART
    for remote in gateway_for(payment.gateway).list_payments(since=since, until=until):
        if remote.metadata.get("key") == str(payment.key):
            settle(remote)
    payment.refresh_from_db()
    return payment


def expire_invoices(now: datetime) -> int:
    """Give up the invoices that were not paid in time; return how many."""
    due = Payment.objects.to_check(now).filter(gateway=Payment.Gateway.STARS)[:EXPIRED_AT_ONCE]
    for payment in due:
        cancel_payment(payment, "the invoice was not paid in time")
    return len(due)


def _check(user: User, rubles: int) -> None:
    if user.is_blocked or not user.is_active:
        raise InvalidPayment(amount="This account is blocked.")
    if not settings.STARS_ENABLED:
        raise InvalidPayment(method="This way to pay is not offered.")
    low, high = settings.PAYMENT_MIN_AMOUNT, settings.PAYMENT_MAX_AMOUNT
    if not low <= rubles <= high:
        raise InvalidPayment(amount=f"A top-up is {low} to {high} rubles.")


def _invoiced(payload: str) -> Payment | None:
    try:
        key = uuid.UUID(payload)
    except ValueError:
        return None
    payments = Payment.objects.select_related("user")
    return payments.filter(gateway=Payment.Gateway.STARS, key=key).first()


def _charged(charge_id: str) -> Payment | None:
    return Payment.objects.filter(gateway=Payment.Gateway.STARS, gateway_id=charge_id).first()


def _pay_again(payment: Payment, charge_id: str, payer: User) -> Payment | None:
    """Credit a charge for an invoice that is not the payer's to pay: a payment of its own."""
    try:
        with transaction.atomic():
            again = Payment.objects.create(
                user=payer,
                gateway=payment.gateway,
                method=payment.method,
                amount=payment.amount,
                currency=payment.currency,
                points=payment.points,
                gateway_id=charge_id,
            )
            confirm_payment(payment_id=again.pk, remote_id=charge_id)
    except IntegrityError:  # the same charge, delivered twice at the same moment
        return _charged(charge_id)
    fields = {"payment_id": again.pk, "user_id": payer.pk, "first_payment_id": payment.pk}
    logger.warning("An invoice was paid again", **fields)
    again.refresh_from_db()
    return again
