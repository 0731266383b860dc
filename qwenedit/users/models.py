"""Who uses the service, the keys they use it with, and who brought whom.

`User.balance` is a copy that only `payments.ledger` writes: the sum of the user's ledger entries.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

KEY_PREFIX = "qe_"
SHOWN_KEY_LENGTH = 11
LAST_USED_PRECISION = timedelta(minutes=1)


class Scope(models.TextChoices):
    """What a key may do."""

    READ = "read", _("read")
    EDIT = "edit", _("submit and cancel edits")
    PAY = "pay", _("create payments and redeem codes")


def every_scope() -> list[str]:
    """Return the scopes of a key that was made without naming any."""
    return [str(scope) for scope in Scope]


class User(AbstractUser):
    """A person or an integrator. People who come from Telegram have `telegram_id` and no password."""

    class Language(models.TextChoices):
        RUSSIAN = "ru", "Русский"
        ENGLISH = "en", "English"

    telegram_id = models.BigIntegerField(_("Telegram id"), unique=True, null=True, blank=True)
    language = models.CharField(
        _("language"), max_length=2, choices=Language.choices, default=Language.ENGLISH
    )
    balance = models.BigIntegerField(_("balance, points"), default=0, editable=False)
    is_blocked = models.BooleanField(
        _("blocked"), default=False, help_text=_("May not submit edits, pay, or use keys.")
    )
    erased_at = models.DateTimeField(_("data deleted at"), null=True, blank=True, editable=False)

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(condition=models.Q(balance__gte=0), name="users_balance_not_negative")
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save everything but the balance: a stale copy in memory must not undo a charge.

        One transaction with whatever listens to `post_save`, so that nobody exists without their first entry.
        """
        if self._state.adding:
            self.balance = 0
        else:
            named = kwargs.get("update_fields")
            if named is None:
                unloaded = self.get_deferred_fields()
                fields = [field for field in self._meta.concrete_fields if not field.primary_key]
                named = [field.name for field in fields if field.attname not in unloaded]
            kwargs["update_fields"] = [name for name in named if name != "balance"]
        with transaction.atomic():
            super().save(*args, **kwargs)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Reads of keys."""

    def usable(self) -> ApiKeyQuerySet:
        """Keep keys that are neither revoked nor owned by somebody who may not use the service."""
        return self.filter(revoked_at__isnull=True, user__is_blocked=False, user__is_active=True)


class ApiKey(models.Model):
    """A key of the REST API. Only its SHA-256 is stored; its first letters are shown to tell keys apart.

    A plain digest is enough: the secret has 256 random bits, so there is nothing to guess or to look up.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(_("name"), max_length=100, blank=True)
    prefix = models.CharField(_("prefix"), max_length=16, editable=False)
    digest = models.CharField(_("SHA-256"), max_length=64, unique=True, editable=False)
    scopes = models.JSONField(_("scopes"), default=every_scope)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    def touch(self, now: datetime) -> None:
        """Record the use, at most once a minute: a busy key must not write on every request."""
        if self.last_used_at is None or now - self.last_used_at > LAST_USED_PRECISION:
            ApiKey.objects.filter(pk=self.pk).update(last_used_at=now)


class Referral(models.Model):
    """Who brought whom. Both are rewarded once, after the friend's first successful edit."""

    friend = models.OneToOneField(User, on_delete=models.PROTECT, primary_key=True, related_name="referral")
    inviter = models.ForeignKey(User, on_delete=models.PROTECT, related_name="invited")
    created_at = models.DateTimeField(_("joined"), default=timezone.now)
    rewarded_at = models.DateTimeField(_("rewarded"), null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(friend=models.F("inviter")), name="users_referral_not_oneself"
            )
        ]

    def __str__(self) -> str:
        return f"user {self.friend_id}, invited by user {self.inviter_id}"


def new_key_text() -> str:
    """Return the text of a new key: shown once, stored never."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def key_digest(text: str) -> str:
    """Return the SHA-256 of a key's text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
