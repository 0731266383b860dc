"""Points that cost nothing: promo codes and the weekly bonus."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from payments.models.ledger import LedgerEntry


class PromoCodeQuerySet(models.QuerySet["PromoCode"]):
    """Reads of promo codes."""

    def redeemable(self, now: datetime) -> PromoCodeQuerySet:
        """Keep codes that somebody could still redeem."""
        unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        unused = Q(max_uses__isnull=True) | Q(uses__lt=models.F("max_uses"))
        return self.filter(unexpired, unused, is_active=True)


class PromoCode(models.Model):
    """A word that is worth points, once per user or more often. Stored in capitals; case does not matter."""

    code = models.CharField(
        _("code"),
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"\A[\w-]+\Z", _("Letters, digits, - and _ only."))],
    )
    points = models.PositiveIntegerField(_("points"), validators=[MinValueValidator(1)])
    max_uses = models.PositiveIntegerField(
        _("uses in all"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    uses = models.PositiveIntegerField(_("used"), default=0, editable=False)
    uses_per_user = models.PositiveIntegerField(
        _("uses per user"), default=1, validators=[MinValueValidator(1)]
    )
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    batch = models.CharField(_("batch"), max_length=60, blank=True, db_index=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = PromoCodeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(max_uses__isnull=True) | Q(uses__lte=models.F("max_uses")),
                name="payments_promo_uses",
            )
        ]

    def __str__(self) -> str:
        return self.code

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the code in capitals, wherever it came from."""
        self.code = stored_form(self.code)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Write the code as it is stored, before forms look whether it is taken."""
        self.code = stored_form(self.code)


def stored_form(code: str) -> str:
    """Return a promo code as it is stored, however somebody typed it."""
    return code.strip().upper()


class WeeklyBonus(models.Model):
    """The bonus of one ISO week: to whom, how much, and how far handing it out has come."""

    week = models.CharField(_("ISO week"), max_length=8, primary_key=True, help_text="2026-W48")
    due_at = models.DateTimeField(_("due"), help_text=_("Users who joined before this are in."))
    amount = models.PositiveIntegerField(_("points"))
    last_user_id = models.BigIntegerField(_("users done, up to number"), default=0)
    users = models.PositiveIntegerField(_("users"), default=0)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name_plural = _("weekly bonuses")
        ordering = ["-week"]

    def __str__(self) -> str:
        return f"weekly bonus {self.week}"


class BonusNotice(models.Model):
    """Tells a user of their weekly bonus; written with the bonus, delivered by whoever can reach the user."""

    # An entry can not be deleted: the database need not look for it at every notice.
    entry = models.OneToOneField(LedgerEntry, on_delete=models.PROTECT, primary_key=True, db_constraint=False)
    delivered_at = models.DateTimeField(_("delivered"), null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["entry"], name="payments_notice_open", condition=Q(delivered_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"notice of entry {self.entry_id}"
