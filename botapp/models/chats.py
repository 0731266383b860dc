"""Chats and what comes in from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Chat(models.Model):
    """A private chat with a person, and where the conversation stands: a restart loses nobody's place.

    `lease_token` is the right to answer this chat: one person's updates are taken one after another.
    """

    id = models.BigIntegerField(_("Telegram id"), primary_key=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="chat")
    step = models.CharField(_("waits for"), max_length=30, blank=True)
    draft = models.JSONField(_("what was chosen so far"), default=dict, blank=True)
    expires_at = models.DateTimeField(_("forgotten at"), null=True, blank=True)
    gone_at = models.DateTimeField(_("blocked the bot"), null=True, blank=True)
    lease_token = models.UUIDField(_("lease"), null=True, editable=False)
    lease_until = models.DateTimeField(_("lease until"), null=True, editable=False)
    created_at = models.DateTimeField(_("first seen"), default=timezone.now)
    active_at = models.DateTimeField(_("last seen"), default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["active_at"], name="botapp_chat_active")]

    def __str__(self) -> str:
        return f"chat {self.pk}"


class IncomingUpdateQuerySet(models.QuerySet["IncomingUpdate"]):
    """Reads of what came in."""

    def open(self) -> IncomingUpdateQuerySet:
        """Keep what is not processed yet."""
        return self.filter(processed_at__isnull=True)

    def overdue(self, now: datetime) -> IncomingUpdateQuerySet:
        """Keep what should have been taken by now: its process is gone, or its next try is due."""
        return self.open().filter(next_try_at__lte=now)


class IncomingUpdate(models.Model):
    """An update from Telegram, once: kept before Telegram is told, processed in the order of its chat."""

    id = models.BigIntegerField(_("update_id"), primary_key=True)
    chat_id = models.BigIntegerField(_("chat"))
    body: models.JSONField[Any, Any] = models.JSONField(_("update"), default=dict)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    processed_at = models.DateTimeField(_("processed"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=200, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(_("tried next"))

    objects = IncomingUpdateQuerySet.as_manager()

    class Meta:
        verbose_name = _("update")
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["chat_id", "id"], name="botapp_update_open", condition=Q(processed_at__isnull=True)
            ),
            models.Index(
                fields=["next_try_at"], name="botapp_update_due", condition=Q(processed_at__isnull=True)
            ),
            models.Index(fields=["received_at"], name="botapp_update_received"),
        ]

    def __str__(self) -> str:
        return f"update {self.pk}"


class AlbumPhoto(models.Model):
    """A picture of an album: its updates come one by one, and are taken together once no more follow."""

    chat = models.ForeignKey(Chat, on_delete=models.CASCADE, related_name="album_photos")
    media_group_id = models.CharField(_("album"), max_length=64)
    message_id = models.BigIntegerField(_("message"))
    photo: models.JSONField[Any, Any] = models.JSONField(_("file at Telegram"), default=dict)
    caption = models.TextField(_("caption"), blank=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)

    class Meta:
        ordering = ["message_id"]
        constraints = [models.UniqueConstraint(fields=["chat", "message_id"], name="botapp_album_photo_once")]
        indexes = [models.Index(fields=["received_at"], name="botapp_album_received")]

    def __str__(self) -> str:
        return f"photo {self.message_id} of album {self.media_group_id}"
