"""Top-ups: start one, learn how it went, credit it once.

The row is committed before the gateway is called, and the gateway is never called inside a transaction.
Webhook, poll, return page and reconcile all end in `apply_remote`: a hundred at once credit once.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from payments import amounts, discrepancies, ledger
from payments.gateways.base import (
    GatewayRejected,
    GatewayUnavailable,
    NotFoundAtGateway,
    Receipt,
    RemotePayment,
    RemoteStatus,
)
from payments.gateways.registry import gateway_for, starting_gateway, yookassa_shop_id
from payments.models import Discrepancy, LedgerEntry, Package, Payment, PaymentStatus
from payments.return_addresses import signature_of
from payments.signals import payment_succeeded
from qwenedit.errors import DomainError
from qwenedit.logs import report
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)

KOPEKS = amounts.KOPEKS
# YooKassa cancels an unpaid payment after an hour. A start whose outcome is unknown is repeated that long
# too: a link that nobody was given can not be paid.
LIFETIME = timedelta(hours=1)
CHECK_INTERVALS = tuple(timedelta(seconds=s) for s in (20, 30, 60, 120, 300, 600, 1200, 3600))


class InvalidPayment(DomainError):
    """The payment can not be made like this; `errors` says why, by field."""

    code = "invalid_request"

    def __init__(self, **errors: str) -> None:
        super().__init__(" ".join(errors.values()), errors={field: [text] for field, text in errors.items()})


class PaymentKeyReused(DomainError):
    """The idempotency key was used before, for another payment."""

    code = "idempotency_mismatch"
    status = 409


@dataclass(frozen=True)
class Offer:
    """What a top-up of `rubles` brings: exactly what will be credited."""

    rubles: int
    points: int


def offer_for(rubles: int) -> Offer:
    """Return the offer of a top-up, with a package's bonus where the sum is that of a package."""
    package = Package.objects.filter(rubles=rubles, is_active=True).first()
    return Offer(rubles, package.points if package else rubles * settings.POINTS_PER_RUBLE)


def start_payment(
    *,
    user: User,
    rubles: int,
    method: str,
    email: str = "",
    idempotency_key: str | None = None,
    request_id: str = "",
    return_url: str,
) -> Payment:
    """Create a top-up and return it with the address where one pays.

    `return_url` may hold `{payment_id}` and `{signature}` (see `return_addresses`). Raises InvalidPayment,
    PaymentKeyReused, GatewayRejected, or GatewayUnavailable: then the same call with the same idempotency key
    takes up where this one stopped.
    """
    email = _checked(user, rubles, method, email)
    offer = offer_for(rubles)
    fingerprint = hashlib.sha256(json.dumps([rubles, method, email]).encode()).hexdigest()
    now = timezone.now()
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        payment = earlier_payment(user, idempotency_key, fingerprint)
        if payment is None:
            payment = Payment.objects.create(
                user=user,
                gateway=Payment.Gateway.YOOKASSA,
                method=method,
                amount=rubles * KOPEKS,
                points=offer.points,
                email=email,
                created_at=now,
                next_check_at=now + CHECK_INTERVALS[0],
                request_id=request_id,
                idempotency_key=idempotency_key,
                fingerprint=fingerprint,
            )
            payment.body = starting_gateway(payment.gateway).start_body(
                amount=payment.amount,
                method=method,
                description=f"QwenEdit: {offer.points} points, top-up {payment.pk}",
                return_url=return_url.format(payment_id=payment.pk, signature=signature_of(payment.pk)),
                metadata={"payment_id": str(payment.pk), "key": str(payment.key)},
                receipt=payment_receipt(payment),
            )
            payment.save(update_fields=["body"])
            fields = {"payment_id": payment.pk, "user_id": user.pk, "amount": f"{payment.amount} kopeks"}
            report(logger, "Payment attempt", {**fields, "method": method, "status": payment.status})
    is_over = payment.gateway_id is not None or payment.status == PaymentStatus.CANCELED
    return payment if is_over else send_payment(payment)


def send_payment(payment: Payment) -> Payment:
    """Hand a committed payment to its gateway: again and again, always the same body under the same key."""
    try:
        remote = starting_gateway(payment.gateway).start(body=payment.body, key=str(payment.key))
    except GatewayRejected as error:
        changed = Payment.objects.filter(
            pk=payment.pk, status=PaymentStatus.PENDING, gateway_id__isnull=True
        ).update(
            status=PaymentStatus.REJECTED,
            failure=(error.reason or error.message)[:200],
            finished_at=timezone.now(),
            next_check_at=None,
        )
        if changed:
            _log_failure(payment, PaymentStatus.REJECTED, error.detail or error.message)
        raise
    except GatewayUnavailable as error:
        logger.warning(
            "Payment outcome unknown, it will be repeated under the same key",
            payment_id=payment.pk,
            user_id=payment.user_id,
            amount=payment.amount,
            reason=error.detail,
        )
        raise
    # A notification may have been faster than this answer, and have saved the id already.
    unanswered = Payment.objects.filter(
        Q(gateway_id__isnull=True) | Q(gateway_id=remote.id), pk=payment.pk, confirmation_url=""
    )
    created = unanswered.update(gateway_id=remote.id, confirmation_url=remote.confirmation_url)
    # Of two who sent it at once, one may have been refused, the keys being changed at that moment, say.
    Payment.objects.filter(pk=payment.pk, status=PaymentStatus.REJECTED).update(
        status=PaymentStatus.PENDING,
        failure="",
        finished_at=None,
        next_check_at=timezone.now() + CHECK_INTERVALS[0],
    )
    if created:
        report(
            logger,
            "Payment created successfully",
            {
                "payment_id": payment.pk,
                "user_id": payment.user_id,
                "yukassa_payment_id": remote.id,
                "amount": f"{payment.amount // KOPEKS} rubles",
                "status": remote.status,
            },
        )
    if remote.status is not RemoteStatus.PENDING:
        apply_remote(payment, remote)
    payment.refresh_from_db()
    return payment


def check_payment(payment: Payment) -> Payment:
    """Ask the gateway how a payment is and act on it. Raises GatewayUnavailable."""
    now = timezone.now()
    if payment.gateway_id is None:
        if payment.status != PaymentStatus.PENDING:
            return payment
        if now - payment.created_at < LIFETIME:
            return send_payment(payment) if _schedule(payment, now) else payment
        cancel_payment(payment, "never reached the gateway")
        payment.refresh_from_db()
        return payment
    _schedule(payment, now)
    try:
        remote = gateway_for(payment.gateway).fetch(payment.gateway_id)
    except NotFoundAtGateway:
        if now - payment.created_at > LIFETIME:
            discrepancies.record(
                Discrepancy.Kind.MISSING, payment.gateway_id, "the gateway does not know it", payment=payment
            )
        return payment
    return apply_remote(payment, remote)


def apply_remote(payment: Payment, remote: RemotePayment) -> Payment:
    """Bring a payment to where the gateway says it is, and return it as it is afterwards."""
    if remote.status is RemoteStatus.SUCCEEDED:
        problem = mismatch(payment, remote)
        if problem:
            discrepancies.record(
                Discrepancy.Kind.MISMATCH, remote.id, problem, payment=payment, raw=dict(remote.raw)
            )
        else:
            confirm_payment(payment_id=payment.pk, remote_id=remote.id, receipt=remote.receipt_registration)
    elif remote.status is RemoteStatus.CANCELED:
        cancel_payment(payment, remote.cancellation_reason or "canceled")
    elif remote.status is RemoteStatus.WAITING_FOR_CAPTURE:
        discrepancies.record(
            Discrepancy.Kind.STATUS,
            remote.id,
            "waits for capture, though it was to be captured at once",
            payment=payment,
            raw=dict(remote.raw),
        )
    payment.refresh_from_db()
    return payment


def confirm_payment(*, payment_id: int, remote_id: str, receipt: str = "") -> bool:
    """Credit a payment that was paid: the only way to do so. Return whether this call did it.

    A link may be paid late, so a payment that we gave up as canceled or rejected is credited as well.
    """
    now = timezone.now()
    open_or_given_up = [PaymentStatus.PENDING, PaymentStatus.CANCELED, PaymentStatus.REJECTED]
    with transaction.atomic():
        changed = Payment.objects.filter(pk=payment_id, status__in=open_or_given_up).update(
            status=PaymentStatus.SUCCEEDED,
            gateway_id=remote_id,
            receipt_registration=receipt[:20],
            failure="",
            finished_at=now,
            next_check_at=None,
        )
        if not changed:
            return False
        payment = Payment.objects.get(pk=payment_id)
        entry = ledger.post(
            user_id=payment.user_id,
            amount=payment.points,
            kind=LedgerEntry.Kind.PAYMENT,
            key=f"payment:{payment.pk}",
            description=f"Top-up of {amounts.for_people(payment.amount, payment.currency)}",
        ).entry
        payment_succeeded.send(sender=Payment, payment=payment)
    report(
        logger,
        "Payment succeeded",
        {
            "payment_id": payment.pk,
            "user_id": payment.user_id,
            "amount": amounts.for_logs(payment.amount, payment.currency),
            "credited": f"{payment.points} points",
            "new_balance": entry.balance_after,
        },
        status=payment.status,
        balance_before=entry.balance_after - entry.amount,
        **amounts.id_for_logs(remote_id, payment.currency),
    )
    return True


def mismatch(payment: Payment, remote: RemotePayment) -> str:
    """Return in what a paid payment differs from ours, or nothing."""
    differences = []
    if remote.amount != payment.amount:
        found = amounts.for_logs(remote.amount, remote.currency)
        differences.append(f"amount {found} instead of {payment.amount}")
    if remote.currency != payment.currency:
        differences.append(f"currency {remote.currency} instead of {payment.currency}")
    if payment.gateway == Payment.Gateway.YOOKASSA:
        differences += _mismatch_of_shop(remote)
    if payment.gateway_id not in (None, remote.id):
        differences.append(f"id {remote.id} instead of {payment.gateway_id}")
    return ", ".join(differences)


def _mismatch_of_shop(remote: RemotePayment) -> list[str]:
    differences = []
    if remote.shop_id != yookassa_shop_id():
        differences.append(f"shop {remote.shop_id} instead of {yookassa_shop_id()}")
    if settings.YOOKASSA_TEST != "any" and remote.is_test != (settings.YOOKASSA_TEST == "true"):
        differences.append("test payment" if remote.is_test else "real payment in a test installation")
    return differences


def _checked(user: User, rubles: int, method: str, email: str) -> str:
    if user.is_blocked or not user.is_active:
        raise InvalidPayment(amount="This account is blocked.")
    if not settings.YOOKASSA_ENABLED or method not in (Payment.Method.CARD, Payment.Method.SBP):
        raise InvalidPayment(method="This way to pay is not offered.")
    low, high = settings.PAYMENT_MIN_AMOUNT, settings.PAYMENT_MAX_AMOUNT
    if not low <= rubles <= high:
        raise InvalidPayment(amount=f"A top-up is {low} to {high} rubles.")
    email = email.strip()
    if settings.RECEIPT_REQUIRED and not email:
        raise InvalidPayment(email="The receipt needs an e-mail address.")
    if email:
        try:
            validate_email(email)
        except ValidationError:
            raise InvalidPayment(email="This is not an e-mail address.") from None
    return email


def payment_receipt(payment: Payment) -> Receipt | None:
    """Return what the fiscal receipt of a payment says, where the shop sends receipts."""
    if not payment.email or not settings.RECEIPT_REQUIRED:
        return None
    return Receipt(
        email=payment.email,
        item=f"Баллы: {payment.points}",
        vat_code=settings.RECEIPT_VAT_CODE,
        payment_subject=settings.RECEIPT_PAYMENT_SUBJECT,
        payment_mode=settings.RECEIPT_PAYMENT_MODE,
        tax_system_code=settings.RECEIPT_TAX_SYSTEM or None,
    )


def earlier_payment(user: User, key: str | None, fingerprint: str) -> Payment | None:
    """Return the payment that the user made under a key before. Raises PaymentKeyReused."""
    if key is None:
        return None
    payment = Payment.objects.filter(user=user, idempotency_key=key).first()
    if payment is not None and payment.fingerprint != fingerprint:
        raise PaymentKeyReused("This Idempotency-Key was used for another payment.")
    return payment


def _schedule(payment: Payment, now: datetime) -> bool:
    next_check = now + CHECK_INTERVALS[min(payment.checks, len(CHECK_INTERVALS) - 1)]
    expired = payment.created_at + LIFETIME + CHECK_INTERVALS[0]
    if now < expired:  # the gateway gives it up then, which is not to be heard of half an hour later
        next_check = min(next_check, expired)
    pending = Payment.objects.filter(pk=payment.pk, status=PaymentStatus.PENDING)
    return bool(pending.update(checks=payment.checks + 1, next_check_at=next_check))


def cancel_payment(payment: Payment, reason: str) -> None:
    """Give a pending payment up; should it be paid late, it is credited all the same."""
    changed = Payment.objects.filter(pk=payment.pk, status=PaymentStatus.PENDING).update(
        status=PaymentStatus.CANCELED, failure=reason[:200], finished_at=timezone.now(), next_check_at=None
    )
    if changed:
        _log_failure(payment, PaymentStatus.CANCELED, reason)


def _log_failure(payment: Payment, status: PaymentStatus, reason: str) -> None:
    fields: dict[str, Any] = {
        "payment_id": payment.pk,
        "user_id": payment.user_id,
        **amounts.id_for_logs(payment.gateway_id, payment.currency),
        "amount": amounts.for_logs(payment.amount, payment.currency),
        "status": status,
        "reason": reason,
    }
    report(logger, "Payment failed", fields, level="warning")
