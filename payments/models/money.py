"""Money: top-ups on offer, payments, refunds, the inbox of notifications, and what does not add up.

Amounts are integer kopeks (or Stars), points are integers.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Package(models.Model):
    """A top-up on offer: so many rubles, and so many percent of points on top."""

    rubles = models.PositiveIntegerField(_("rubles"), unique=True)
    bonus_percent = models.PositiveSmallIntegerField(_("bonus, %"), default=0)
    sort_order = models.PositiveIntegerField(_("sort order"), default=0)
    is_active = models.BooleanField(_("on offer"), default=True)
    is_customised = models.BooleanField(
        _("edited by staff"), default=False, help_text=_("Loading the packages' file leaves this row alone.")
    )

    class Meta:
        verbose_name = _("top-up package")
        ordering = ["sort_order", "rubles"]

    def __str__(self) -> str:
        return f"{self.rubles} ₽" + (f" +{self.bonus_percent} %" if self.bonus_percent else "")

    @property
    def points(self) -> int:
        """Points that it brings, bonus included."""
        base = self.rubles * settings.POINTS_PER_RUBLE
        return base + base * self.bonus_percent // 100


class PaymentStatus(models.TextChoices):
    """Where a payment is. REJECTED: the gateway refused to start it. A final status never changes, but one:

    a link can be paid late, so CANCELED becomes SUCCEEDED when the gateway says that the money came; and
    REJECTED is taken back when the gateway has the payment all the same.
    """

    PENDING = "pending", _("pending")
    SUCCEEDED = "succeeded", _("succeeded")
    CANCELED = "canceled", _("canceled")
    REJECTED = "rejected", _("rejected")


class PaymentQuerySet(models.QuerySet["Payment"]):
    """Reads of payments."""

    def to_check(self, now: datetime) -> PaymentQuerySet:
        """Keep payments whose gateway should be asked now, the longest overdue first."""
        return self.filter(status=PaymentStatus.PENDING, next_check_at__lte=now).order_by("next_check_at")


class Payment(models.Model):
    """A top-up: what was promised for how much, and where the money is."""

    class Gateway(models.TextChoices):
        YOOKASSA = "yookassa", "YooKassa"
        STARS = "stars", "Telegram Stars"

    class Method(models.TextChoices):
        CARD = "card", _("bank card")
        SBP = "sbp", _("SBP")
        STARS = "stars", "Telegram Stars"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payments")
    gateway = models.CharField(_("gateway"), max_length=10, choices=Gateway.choices)
    method = models.CharField(_("method"), max_length=10, choices=Method.choices)
    amount = models.PositiveBigIntegerField(_("amount"), help_text=_("Kopeks, or Stars."))
    currency = models.CharField(_("currency"), max_length=3, default="RUB")
    points = models.PositiveBigIntegerField(_("points promised"))
    status = models.CharField(
        _("status"), max_length=10, choices=PaymentStatus.choices, default=PaymentStatus.PENDING
    )
    email = models.EmailField(_("e-mail for the receipt"), blank=True)

    key = models.UUIDField(_("our idempotence key"), default=uuid.uuid4, unique=True, editable=False)
    body = models.JSONField(_("request, as it was sent"), default=dict, editable=False)
    gateway_id = models.CharField(_("id at the gateway"), max_length=255, null=True, unique=True)  # noqa: DJ001
    confirmation_url = models.URLField(_("where one pays"), max_length=2048, blank=True)
    failure = models.CharField(_("why it failed"), max_length=200, blank=True)
    receipt_registration = models.CharField(_("receipt"), max_length=20, blank=True)

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    checks = models.PositiveSmallIntegerField(_("times asked for"), default=0)
    next_check_at = models.DateTimeField(_("asked for next"), null=True, blank=True)

    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    idempotency_key = models.CharField(_("client's key"), max_length=200, null=True, blank=True)  # noqa: DJ001
    fingerprint = models.CharField(_("digest of the request"), max_length=64, blank=True, editable=False)

    objects = PaymentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("refund_payment", "Can give money back")]
        constraints = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="payments_payment_idempotency"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payments_payment_amount"),
        ]
        indexes = [
            models.Index(fields=["user", "-id"], name="payments_payment_user"),
            models.Index(
                fields=["next_check_at"],
                name="payments_payment_checks",
                condition=Q(status=PaymentStatus.PENDING),
            ),
            models.Index(fields=["-created_at"], name="payments_payment_created"),
        ]

    def __str__(self) -> str:
        return f"payment {self.pk}"


class RefundStatus(models.TextChoices):
    """Where a refund is. PENDING holds the points and the amount until the outcome is known."""

    PENDING = "pending", _("pending")
    SUCCEEDED = "succeeded", _("succeeded")
    CANCELED = "canceled", _("canceled")


class RefundQuerySet(models.QuerySet["Refund"]):
    """Reads of refunds."""

    def to_check(self, now: datetime) -> RefundQuerySet:
        """Keep refunds whose gateway should be asked now, the longest overdue first."""
        return self.filter(status=RefundStatus.PENDING, next_check_at__lte=now).order_by("next_check_at")


class Refund(models.Model):
    """Money given back, in full or in part. Points are taken back before the gateway is asked."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount = models.PositiveBigIntegerField(_("amount"), help_text=_("Kopeks, or Stars."))
    points = models.PositiveBigIntegerField(_("points taken back"))
    status = models.CharField(
        _("status"), max_length=10, choices=RefundStatus.choices, default=RefundStatus.PENDING
    )
    reason = models.CharField(_("reason"), max_length=200)
    staff = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    is_external = models.BooleanField(_("made at the gateway"), default=False)
    is_forced = models.BooleanField(_("although points were spent"), default=False)

    key = models.UUIDField(_("our idempotence key"), default=uuid.uuid4, unique=True, editable=False)
    form_token = models.UUIDField(_("form"), null=True, unique=True, editable=False)
    body = models.JSONField(_("request, as it was sent"), default=dict, editable=False)
    gateway_id = models.CharField(_("id at the gateway"), max_length=255, null=True, unique=True)  # noqa: DJ001
    failure = models.CharField(_("why it failed"), max_length=200, blank=True)

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    checks = models.PositiveSmallIntegerField(_("times asked for"), default=0)
    next_check_at = models.DateTimeField(_("asked for next"), null=True, blank=True)

    objects = RefundQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("force_refund", "Can give money back although the points are spent")]
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="payments_refund_amount")]
        indexes = [
            models.Index(
                fields=["next_check_at"],
                name="payments_refund_checks",
                condition=Q(status=RefundStatus.PENDING),
            )
        ]

    def __str__(self) -> str:
        return f"refund {self.pk} of payment {self.payment_id}"


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Reads of the inbox."""

    def open(self) -> NotificationQuerySet:
        """Keep what is not processed yet."""
        return self.filter(processed_at__isnull=True)

    def to_try(self, now: datetime) -> NotificationQuerySet:
        """Keep what should be tried now, the longest overdue first."""
        return self.open().filter(next_try_at__lte=now).order_by("next_try_at")


class Notification(models.Model):
    """The inbox of webhooks: stored, answered with 200, then processed from what the gateway says itself."""

    gateway = models.CharField(_("gateway"), max_length=10, choices=Payment.Gateway.choices)
    event = models.CharField(_("event"), max_length=60, blank=True)
    object_id = models.CharField(_("object"), max_length=100, blank=True)
    address = models.GenericIPAddressField(_("sender"), null=True)
    body = models.TextField(_("body"), blank=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    processed_at = models.DateTimeField(_("processed"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=200, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(_("tried next"), default=timezone.now)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["next_try_at"], name="payments_inbox", condition=Q(processed_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.object_id}"


class Discrepancy(models.Model):
    """Something that does not add up, kept for a person: quarantined money, a difference with the gateway."""

    class Kind(models.TextChoices):
        MISMATCH = "mismatch", _("amount, currency, shop or test flag differs")
        UNKNOWN_PAYMENT = "unknown_payment", _("paid at the gateway, unknown here")
        UNKNOWN_REFUND = "unknown_refund", _("refunded at the gateway, more than we can place")
        STATUS = "status", _("the gateway says otherwise")
        MISSING = "missing", _("known here, unknown at the gateway")

    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    gateway_id = models.CharField(_("id at the gateway"), max_length=255)
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="discrepancies"
    )
    detail = models.CharField(_("what differs"), max_length=500)
    raw = models.JSONField(_("as the gateway has it"), default=dict, blank=True)
    found_at = models.DateTimeField(_("found"), default=timezone.now)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    resolution = models.CharField(_("how it was resolved"), max_length=300, blank=True)

    class Meta:
        verbose_name_plural = _("discrepancies")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "gateway_id"], name="payments_discrepancy_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.gateway_id}"
