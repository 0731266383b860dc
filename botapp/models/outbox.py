"""What the bot sends on its own account: deliveries, and the broadcasts that make many of them."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Lane(models.IntegerChoices):
    """Lanes of their own, so that a million notices delay no result. The lower number goes first."""

    RESULTS = 0, _("results")
    MONEY = 1, _("money")
    BULK = 9, _("bulk")


class BroadcastStatus(models.TextChoices):
    """Where a broadcast is. STOPPED and FINISHED are final."""

    DRAFT = "draft", _("draft")
    SENDING = "sending", _("sending")
    STOPPED = "stopped", _("stopped")
    FINISHED = "finished", _("finished")


class Broadcast(models.Model):
    """A message of staff's to a segment of the people who use the bot."""

    class Segment(models.TextChoices):
        EVERYBODY = "everybody", _("everybody")
        RUSSIAN = "ru", _("who reads Russian")
        ENGLISH = "en", _("who reads English")
        ACTIVE = "active", _("seen in the last 30 days")
        AWAY = "away", _("not seen for 30 days")
        NEVER_EDITED = "never_edited", _("who never made an edit")
        PAID = "paid", _("who has paid")

    title = models.CharField(_("title, for staff"), max_length=100)
    text_ru = models.TextField(_("text, Russian"), max_length=1000, help_text=_("Telegram's HTML."))
    text_en = models.TextField(_("text, English"), max_length=1000, help_text=_("Telegram's HTML."))
    picture = models.ImageField(_("picture"), upload_to="broadcasts/", blank=True)
    # Sent to Telegram once; what it is called there is sent to everybody else.
    picture_file_id = models.CharField(_("picture at Telegram"), max_length=200, blank=True, editable=False)
    button_text_ru = models.CharField(_("button, Russian"), max_length=40, blank=True)
    button_text_en = models.CharField(_("button, English"), max_length=40, blank=True)
    button_url = models.URLField(_("button leads to"), max_length=500, blank=True)
    segment = models.CharField(_("to"), max_length=20, choices=Segment.choices, default=Segment.EVERYBODY)
    status = models.CharField(
        _("status"), max_length=10, choices=BroadcastStatus.choices, default=BroadcastStatus.DRAFT
    )
    last_chat_id = models.BigIntegerField(_("written for chats up to"), null=True, editable=False)
    total = models.PositiveIntegerField(_("people"), default=0, editable=False)
    sent = models.PositiveIntegerField(_("sent"), default=0, editable=False)
    failed = models.PositiveIntegerField(_("failed"), default=0, editable=False)
    cancelled = models.PositiveIntegerField(_("cancelled"), default=0, editable=False)
    failure = models.CharField(_("why it was stopped"), max_length=200, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    started_at = models.DateTimeField(_("started"), null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        permissions = [("send_broadcast", "Can send broadcasts")]

    def __str__(self) -> str:
        return self.title


class DeliveryStatus(models.TextChoices):
    """Where a delivery is. SENDING holds a lease. SENT, FAILED and CANCELLED are final."""

    PENDING = "pending", _("pending")
    SENDING = "sending", _("sending")
    SENT = "sent", _("sent")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Reads of deliveries."""

    def unfinished(self) -> DeliveryQuerySet:
        """Keep what is not final."""
        return self.filter(status__in=(DeliveryStatus.PENDING, DeliveryStatus.SENDING))

    def due(self, now: datetime) -> DeliveryQuerySet:
        """Keep what should be sent now, or was left in mid-sending; urgent first."""
        return self.unfinished().filter(next_try_at__lte=now).order_by("lane", "next_try_at", "id")


class Delivery(models.Model):
    """One message that is owed to a chat: written in the transaction that causes it, sent by a worker.

    `kind` names what it says (see `botapp.outbox.news`), `subject` the row it is about. Words are made when
    it is sent, in the language that the person reads then. `key` names its cause: nobody is told twice.
    While SENDING, `next_try_at` is the end of the lease.
    """

    chat_id = models.BigIntegerField(_("chat"))
    lane = models.SmallIntegerField(_("lane"), choices=Lane.choices)
    kind = models.CharField(_("kind"), max_length=30)
    subject = models.BigIntegerField(_("about row"), null=True)
    key = models.CharField(_("cause"), max_length=100, unique=True)
    status = models.CharField(
        _("status"), max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING
    )
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_try_at = models.DateTimeField(_("tried next"), default=timezone.now)
    lease_token = models.UUIDField(_("lease"), null=True, editable=False)
    # A call that must not be repeated blindly has begun: whether it happened, nobody knows.
    is_begun = models.BooleanField(_("begun"), default=False, editable=False)
    message_id = models.BigIntegerField(_("message"), null=True, blank=True)
    failure = models.CharField(_("why it failed"), max_length=200, blank=True)
    broadcast = models.ForeignKey(
        Broadcast, on_delete=models.PROTECT, null=True, blank=True, related_name="deliveries"
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = _("deliveries")
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["lane", "next_try_at", "id"],
                name="botapp_delivery_due",
                condition=Q(status__in=["pending", "sending"]),
            ),
            models.Index(fields=["broadcast", "status"], name="botapp_delivery_broadcast"),
            models.Index(fields=["chat_id", "-id"], name="botapp_delivery_chat"),
            models.Index(fields=["finished_at"], name="botapp_delivery_finished"),
            models.Index(fields=["-id"], name="botapp_delivery_failed", condition=Q(status="failed")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.chat_id}"
