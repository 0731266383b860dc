"""Points: the ledger. Its only writer is `payments.ledger`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class LedgerEntry(models.Model):
    """One movement of points, never changed and never deleted: the database itself refuses both."""

    class Kind(models.TextChoices):
        INITIAL = "initial", _("welcome points")
        EDIT = "edit", _("edit")
        EDIT_REFUND = "edit_refund", _("points back for an edit")
        PAYMENT = "payment", _("top-up")
        PAYMENT_REFUND = "payment_refund", _("top-up refunded")
        WEEKLY_BONUS = "weekly_bonus", _("weekly bonus")
        PROMO = "promo", _("promo code")
        REFERRAL = "referral", _("friend invited")
        GRANT = "grant", _("granted by staff")

    # Its own index would only repeat the beginning of `payments_ledger_user`.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="ledger_entries", db_index=False
    )
    amount = models.BigIntegerField(_("amount, points"), help_text=_("Negative where points were spent."))
    balance_after = models.BigIntegerField(_("balance after, points"))
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    key = models.CharField(_("cause"), max_length=100)  # unique: see the constraint
    description = models.CharField(_("description"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ["-id"]
        permissions = [("grant_points", "Can give and take points")]
        indexes = [models.Index(fields=["user", "-id"], name="payments_ledger_user")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(balance_after__gte=0), name="payments_ledger_no_overdraft"
            ),
            # `unique=True` would make a second index on PostgreSQL, for LIKE; compared byte by byte, this one
            # serves both, and no entry has to go into two.
            models.UniqueConstraint(
                fields=["key"], name="payments_ledger_key", opclasses=["varchar_pattern_ops"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount:+d} ({self.key})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse what the database would refuse, with the reason."""
        if not self._state.adding:
            raise TypeError("A ledger entry is immutable: post a new entry that corrects it.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse: see `save`."""
        raise TypeError("A ledger entry is immutable: post a new entry that corrects it.")
