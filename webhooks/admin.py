"""Webhooks in the admin: read; an endpoint disabled, a delivery sent once more. No page shows a secret."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    Tone,
    action,
    ago,
    as_it_came,
    badge,
    clipped,
    display,
    exactly,
    link,
    matching_number,
)
from webhooks import outbox
from webhooks.models import Delivery, DeliveryStatus, DisabledReason, Endpoint
from webhooks.outbox import StillUnderway
from webhooks.services import disable_endpoint

MOST_AT_ONCE = 500
TONES = {
    DeliveryStatus.PENDING: Tone.WARNING,
    DeliveryStatus.SENDING: Tone.BUSY,
    DeliveryStatus.DELIVERED: Tone.GOOD,
    DeliveryStatus.FAILED: Tone.BAD,
    DeliveryStatus.CANCELLED: Tone.PLAIN,
}


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyMixin, ModelAdmin):
    """Addresses of integrators."""

    list_display = ["id", "owner", "address", "state", "failing", "created"]
    list_filter = ["disabled_reason", ("failing_since", admin.EmptyFieldListFilter), "created_at"]
    list_select_related = ["user"]
    sortable_by = ["id"]
    search_fields = ["id", "url"]
    search_help_text = _("Number of the webhook or of its user, or a part of the address")
    actions = ["disable"]
    fields = ["owner", "url", "description", "events", "state", "failing", "created", "deliveries"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Endpoint], search_term: str
    ) -> tuple[QuerySet[Endpoint], bool]:
        """Find webhooks by number, user or address."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = queryset.filter(matching_number(term, "id", "user_id"))
        return found | queryset.filter(url__icontains=term), False

    def has_disable_permission(self, request: HttpRequest) -> bool:
        """Let those disable who may change webhooks."""
        return request.user.has_perm("webhooks.change_endpoint")

    @display(description=_("user"))
    def owner(self, endpoint: Endpoint) -> SafeString:
        """Whose it is."""
        return link("users_user_change", endpoint.user, endpoint.user_id)

    @display(description=_("address"))
    def address(self, endpoint: Endpoint) -> SafeString | None:
        """The address, as far as it fits."""
        return clipped(endpoint.url)

    @display(description=_("status"))
    def state(self, endpoint: Endpoint) -> SafeString:
        """Whether it is sent to, and why not."""
        if endpoint.enabled:
            return badge(_("enabled"), Tone.GOOD)
        return badge(DisabledReason(endpoint.disabled_reason).label, Tone.BAD)

    @display(description=_("failing"))
    def failing(self, endpoint: Endpoint) -> SafeString | None:
        """Since when nothing was delivered."""
        return ago(endpoint.failing_since)

    @display(description=_("created"), ordering="id")
    def created(self, endpoint: Endpoint) -> SafeString | None:
        """How long ago it was made."""
        return ago(endpoint.created_at)

    @display(description=_("deliveries"))
    def deliveries(self, endpoint: Endpoint) -> SafeString:
        """What it was sent."""
        return link("webhooks_delivery_changelist", _("its deliveries"), endpoint__id__exact=endpoint.pk)

    @action(description=_("Disable"), permissions=["disable"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse | None:
        """Send nothing more, for a reason."""
        reason = self.ask_reason(
            request,
            queryset,
            action_name="disable",
            question=_("Disable these webhooks?"),
            button=_("Disable"),
        )
        if isinstance(reason, HttpResponse):
            return reason
        rows = list(queryset[:MOST_AT_ONCE])
        done = [row for row in rows if disable_endpoint(endpoint=row, reason=DisabledReason.STAFF)]
        self.record(request, done, f"Disabled: {reason}")
        text = ngettext("%(count)d webhook disabled.", "%(count)d webhooks disabled.", len(done))
        self.tell(request, text % {"count": len(done)}, ok=bool(done))
        return None


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyMixin, ModelAdmin):
    """What was sent, and each attempt at it."""

    list_display = ["id", "owner", "address", "event", "state", "why", "tries", "created"]
    list_filter = ["status", "event", "created_at"]
    list_select_related = ["user", "endpoint"]
    sortable_by = ["id"]
    search_fields = ["id"]
    search_help_text = _("Number of the delivery, of its user or webhook, or the header webhook-id")
    actions = ["redeliver"]
    fieldsets = [
        (None, {"fields": ["state", "owner", "address", "event", "failure", "message_id", "tries"]}),
        (_("Times"), {"fields": ["owed", "finished", "tried_next"]}),
        (_("Content"), {"fields": ["log", "sent"]}),
    ]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Let a webhook's page link to what it was sent."""
        return lookup == "endpoint__id__exact" or super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """Find deliveries by number, user, webhook, or what the receiver knows it by."""
        term = search_term.strip()
        if not term:
            return queryset, False
        with suppress(ValueError):
            if term.startswith("msg_"):
                return queryset.filter(webhook_id=uuid.UUID(term.removeprefix("msg_"))), False
        return queryset.filter(matching_number(term, "id", "user_id", "endpoint_id")), False

    def has_again_permission(self, request: HttpRequest) -> bool:
        """Let those send again who may change deliveries."""
        return request.user.has_perm("webhooks.change_delivery")

    @display(description=_("user"))
    def owner(self, delivery: Delivery) -> SafeString:
        """Whom it tells."""
        return link("users_user_change", delivery.user, delivery.user_id)

    @display(description=_("address"))
    def address(self, delivery: Delivery) -> SafeString | None:
        """Where it goes; a link where that is an endpoint."""
        text = clipped(delivery.target)
        if delivery.endpoint_id is None:
            return text
        return link("webhooks_endpoint_change", text, delivery.endpoint_id)

    @display(description=_("status"))
    def state(self, delivery: Delivery) -> SafeString:
        """Status as a badge."""
        status = DeliveryStatus(delivery.status)
        return badge(status.label, TONES[status])

    @display(description=_("why it failed"))
    def why(self, delivery: Delivery) -> SafeString | None:
        """The reason, or what the last attempt met, as far as it fits."""
        last = delivery.attempts[-1] if delivery.attempts else {}
        if delivery.status == DeliveryStatus.DELIVERED:
            return None
        return clipped(delivery.failure or last.get("error") or str(last.get("status_code") or ""))

    @display(description=_("created"), ordering="id")
    def created(self, delivery: Delivery) -> SafeString | None:
        """How long ago it was owed."""
        return ago(delivery.created_at)

    @display(description=_("created"))
    def owed(self, delivery: Delivery) -> SafeString | None:
        """When it was owed, to the second."""
        return exactly(delivery.created_at)

    @display(description=_("finished"))
    def finished(self, delivery: Delivery) -> SafeString | None:
        """When it ended, to the second."""
        return exactly(delivery.finished_at)

    @display(description=_("tried next"))
    def tried_next(self, delivery: Delivery) -> SafeString | None:
        """When it is tried the next time, to the second."""
        return None if delivery.finished_at else exactly(delivery.next_attempt_at)

    @display(description=_("attempts"))
    def log(self, delivery: Delivery) -> SafeString | None:
        """Each attempt, oldest first."""
        return as_it_came(delivery.attempts)

    @display(description=_("payload"))
    def sent(self, delivery: Delivery) -> SafeString | None:
        """What is sent."""
        return as_it_came(json.loads(delivery.payload))

    @action(description=_("Send again"), permissions=["again"])
    def redeliver(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Send deliveries that have ended once more."""
        done = []
        for delivery in queryset.select_related("endpoint").order_by("pk")[:MOST_AT_ONCE]:
            try:
                outbox.redeliver(delivery)
            except StillUnderway:
                continue
            done.append(delivery)
        self.record(request, done, "Sent again")
        text = ngettext("%(count)d delivery waits again.", "%(count)d deliveries wait again.", len(done))
        self.tell(request, text % {"count": len(done)}, ok=bool(done))
