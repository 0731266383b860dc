"""Where integrators want to hear of their edits, and what they are owed.

A `Delivery` is written in the transaction of the event it tells of, with the bytes that will be sent.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from webhooks.signing import new_secret

AT_ONCE = 2  # deliveries in flight to one channel; the database holds it, whatever workers there are


class EventType(models.TextChoices):
    """What an endpoint may subscribe to."""

    JOB_SUCCEEDED = "job.succeeded", _("an edit succeeded")
    JOB_FAILED = "job.failed", _("an edit failed")
    JOB_CANCELLED = "job.cancelled", _("an edit was cancelled")


TEST_EVENT = "webhook.test"


class DisabledReason(models.TextChoices):
    """Why nothing is sent to an endpoint."""

    OWNER = "owner", _("disabled by its owner")
    STAFF = "staff", _("disabled by staff")
    GONE = "gone", _("it answered 410 Gone")
    FAILING = "failing", _("no delivery succeeded for days")


class SigningSecret(models.Model):
    """A secret, and the one before it, which also signs for a while."""

    secret = models.CharField(_("secret"), max_length=100, default=new_secret, editable=False)
    previous_secret = models.CharField(_("previous secret"), max_length=100, blank=True, editable=False)
    previous_secret_until = models.DateTimeField(_("previous secret signs until"), null=True, editable=False)

    class Meta:
        abstract = True

    def secrets(self, now: datetime) -> list[str]:
        """Return the secrets that sign at this moment, the current one first."""
        until = self.previous_secret_until
        return [self.secret, self.previous_secret] if until and now < until else [self.secret]


class JobUrlSecret(SigningSecret):
    """What signs deliveries to the `webhook_url` of a user's edits."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="job_url_secret"
    )

    def __str__(self) -> str:
        return f"secret of user {self.user_id}"


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    """Reads of endpoints."""

    def enabled(self) -> EndpointQuerySet:
        """Keep endpoints that are sent to."""
        return self.filter(disabled_at=None)


class Endpoint(SigningSecret):
    """An address of an integrator's that hears of the ends of their edits."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_endpoints"
    )
    url = models.CharField(_("address"), max_length=500)
    description = models.CharField(_("description"), max_length=200, blank=True)
    events: models.JSONField[Any, Any] = models.JSONField(
        _("events"), default=list, blank=True, help_text=_("None means all.")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True)
    disabled_at = models.DateTimeField(_("disabled"), null=True, blank=True)
    disabled_reason = models.CharField(
        _("why it is disabled"), max_length=10, choices=DisabledReason.choices, blank=True
    )

    objects = EndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook")
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["failing_since"],
                name="webhooks_endpoint_failing",
                condition=Q(failing_since__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def enabled(self) -> bool:
        """Whether anything is sent to it."""
        return self.disabled_at is None

    def hears(self, event: str) -> bool:
        """Return whether it is subscribed to an event."""
        return not self.events or event in self.events


class DeliveryStatus(models.TextChoices):
    """Where a delivery is. SENDING holds a lease. The last three are final until a redelivery."""

    PENDING = "pending", _("pending")
    SENDING = "sending", _("sending")
    DELIVERED = "delivered", _("delivered")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


UNFINISHED = (DeliveryStatus.PENDING, DeliveryStatus.SENDING)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Reads of deliveries."""

    def unfinished(self) -> DeliveryQuerySet:
        """Keep what is not final."""
        return self.filter(status__in=UNFINISHED)

    def due(self, now: datetime) -> DeliveryQuerySet:
        """Keep what should be sent now, or was left in mid-sending; in the order of events."""
        return self.unfinished().filter(next_attempt_at__lte=now).order_by("next_attempt_at", "id")


class Delivery(models.Model):
    """One event that is owed to one address.

    Its `webhook_id` (the header, without its prefix) stays the same however often it is sent, so that the
    receiver knows what it has seen. While SENDING, `next_attempt_at` is the end of the lease, and `slot` the
    place it takes of the AT_ONCE of its channel. `attempts` is the log, oldest first:
    `{"at", "status_code", "duration_ms", "error", "body"}`.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_deliveries"
    )
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries"
    )
    url = models.CharField(_("address"), max_length=500, blank=True)  # of an edit; an endpoint has its own
    channel = models.CharField(_("channel"), max_length=40, editable=False)
    webhook_id = models.UUIDField("webhook-id", default=uuid.uuid4, unique=True, editable=False)
    event = models.CharField(_("event"), max_length=40)
    payload = models.TextField(_("payload"))  # the very bytes that are signed, which JSON fields reorder

    status = models.CharField(
        _("status"), max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING
    )
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField(_("tried next"), default=timezone.now)
    gives_up_at = models.DateTimeField(_("not tried after"))
    lease_token = models.UUIDField(_("lease"), null=True, editable=False)
    slot = models.PositiveSmallIntegerField(_("slot"), null=True, editable=False)
    attempts: models.JSONField[Any, Any] = models.JSONField(_("attempts"), default=list, editable=False)
    failure = models.CharField(_("why it failed"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "slot"], name="webhooks_delivery_slot", condition=Q(status="sending")
            ),
            models.CheckConstraint(
                condition=~Q(status="sending") | Q(lease_token__isnull=False, slot__lt=AT_ONCE),
                name="webhooks_delivery_sending_has_slot",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at", "id"],
                name="webhooks_delivery_due",
                condition=Q(status__in=["pending", "sending"]),
            ),
            models.Index(fields=["endpoint", "-id"], name="webhooks_delivery_endpoint"),
            models.Index(fields=["user", "-id"], name="webhooks_delivery_user"),
            models.Index(fields=["finished_at"], name="webhooks_delivery_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.target}"

    @property
    def message_id(self) -> str:
        """The header `webhook-id`."""
        return f"msg_{self.webhook_id.hex}"

    @property
    def target(self) -> str:
        """The address it is sent to: an endpoint's as it is now."""
        return self.endpoint.url if self.endpoint else self.url
