"""Edits as a chat sees them: the order, its one message, and what its owner thinks of the result."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from botapp.models.chats import Chat
from jobs.models import Job, Preset


class OrderStatus(models.TextChoices):
    """Where an order is: its photos are still at Telegram, it became a job, or it was refused or dropped."""

    ACCEPTED = "accepted", _("accepted")
    SUBMITTED = "submitted", _("submitted")
    REFUSED = "refused", _("refused")
    CANCELLED = "cancelled", _("cancelled")


class OrderQuerySet(models.QuerySet["Order"]):
    """Reads of orders."""

    def to_submit(self, now: datetime) -> OrderQuerySet:
        """Keep accepted orders whose photos should be fetched now, the longest overdue first."""
        return self.filter(status=OrderStatus.ACCEPTED, next_try_at__lte=now).order_by("next_try_at")


class Order(models.Model):
    """An edit ordered in a chat. One message tells of it from "accepted" to the finished picture.

    `key` names its cause, so that an update that is processed again finds the order it made before; the job's
    idempotency key is made of it. `message_id` is None until the message was sent.
    """

    chat = models.ForeignKey(Chat, on_delete=models.PROTECT, related_name="orders")
    key = models.CharField(_("cause"), max_length=60, unique=True)
    preset = models.ForeignKey(Preset, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    prompt = models.TextField(_("own words"), blank=True)
    # [{"file_id", "name", "bytes", "message"}] of Telegram's, or [{"image": id}] of a picture stored here
    photos: models.JSONField[Any, Any] = models.JSONField(_("photos"), default=list)
    left_out = models.PositiveSmallIntegerField(_("photos beyond the most that are taken"), default=0)
    status = models.CharField(
        _("status"), max_length=10, choices=OrderStatus.choices, default=OrderStatus.ACCEPTED
    )
    # Its owner cancelled it while it was being submitted: whoever does that, or sweeps it, cancels the job.
    is_cancel_wanted = models.BooleanField(_("to be cancelled"), default=False, editable=False)
    job = models.OneToOneField(Job, on_delete=models.PROTECT, null=True, blank=True, related_name="order")
    message_id = models.BigIntegerField(_("its message"), null=True, blank=True)
    shown = models.CharField(_("digest of what it says"), max_length=64, blank=True, editable=False)
    shown_at = models.DateTimeField(_("said last"), null=True, blank=True)
    photo_file_id = models.CharField(_("result as a photo at Telegram"), max_length=200, blank=True)
    document_file_id = models.CharField(_("result as a file at Telegram"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    failure = models.CharField(_("why it was refused"), max_length=200, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(_("tried next"), null=True, blank=True, default=timezone.now)
    # Whoever holds the lease may talk about the order: two at once would overwrite each other's words.
    lease_token = models.UUIDField(_("lease"), null=True, editable=False)
    lease_until = models.DateTimeField(_("lease until"), null=True, editable=False)
    # Of the holder alone, and no column: the lease under which this very object may be talked about.
    held_as: UUID | None = None

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["next_try_at"],
                name="botapp_order_due",
                condition=Q(status=OrderStatus.ACCEPTED),
            ),
            models.Index(fields=["chat", "-id"], name="botapp_order_chat"),
        ]

    def __str__(self) -> str:
        return f"order {self.pk}"


class JobMark(models.Model):
    """What somebody thinks of their result: a favourite, a thumb."""

    class Rating(models.IntegerChoices):
        BAD = -1, "👎"
        GOOD = 1, "👍"

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="mark")
    is_favourite = models.BooleanField(_("favourite"), default=False)
    rating = models.SmallIntegerField(_("rating"), choices=Rating.choices, null=True, blank=True)
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    def __str__(self) -> str:
        return f"mark of job {self.job_id}"
