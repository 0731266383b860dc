"""The inbox of the webhooks in the admin: read, and processed again."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payments import webhooks
from payments.models import Notification
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
    matching_number,
)


@admin.register(Notification)
class NotificationAdmin(ReadOnlyMixin, ModelAdmin):
    """What gateways told us, and what came of it."""

    list_display = ["id", "event", "about", "state", "result", "address", "tries", "received"]
    list_filter = [("processed_at", admin.EmptyFieldListFilter), "gateway", "received_at"]
    sortable_by = ["id"]
    search_fields = ["id", "object_id", "event"]
    search_help_text = _("Number, id of the payment or refund at the gateway, or event")
    actions = ["process_again"]
    fieldsets = [
        (None, {"fields": ["state", "gateway", "event", "object_id", "outcome", "tries"]}),
        (_("Times"), {"fields": ["arrived", "processed", "tried_next"]}),
        (_("As it came"), {"fields": ["address", "content"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Notification], search_term: str
    ) -> tuple[QuerySet[Notification], bool]:
        """Find notifications by number, object or event."""
        term = search_term.strip()
        if not term:
            return queryset, False
        words = Q(object_id=term) | Q(event__startswith=term)
        return queryset.filter(words | matching_number(term, "id")), False

    def has_process_permission(self, request: HttpRequest) -> bool:
        """Let those process who may change notifications."""
        return request.user.has_perm("payments.change_notification")

    @display(description=_("object"))
    def about(self, notification: Notification) -> SafeString | None:
        """The payment's or refund's id, as far as it fits."""
        return clipped(notification.object_id)

    @display(description=_("state"))
    def state(self, notification: Notification) -> SafeString:
        """Whether it is processed."""
        return badge(_("processed")) if notification.processed_at else badge(_("waits"), Tone.WARNING)

    @display(description=_("outcome"))
    def result(self, notification: Notification) -> SafeString | None:
        """What came of it, as far as it fits."""
        return clipped(notification.outcome)

    @display(description=_("received"), ordering="id")
    def received(self, notification: Notification) -> SafeString | None:
        """How long ago it came."""
        return ago(notification.received_at)

    @display(description=_("received"))
    def arrived(self, notification: Notification) -> SafeString | None:
        """When it came, to the second."""
        return exactly(notification.received_at)

    @display(description=_("processed"))
    def processed(self, notification: Notification) -> SafeString | None:
        """When it was done with, to the second."""
        return exactly(notification.processed_at)

    @display(description=_("tried next"))
    def tried_next(self, notification: Notification) -> SafeString | None:
        """When it is tried the next time, to the second."""
        return None if notification.processed_at else exactly(notification.next_try_at)

    @display(description=_("body"))
    def content(self, notification: Notification) -> SafeString | None:
        """The body, word for word."""
        return as_it_came(notification.body)

    @action(description=_("Process again"), permissions=["process"])
    def process_again(self, request: HttpRequest, queryset: QuerySet[Notification]) -> None:
        """Ask the gateway once more for what notifications are about: the same news twice does no harm."""
        understood = Q()
        for kind in webhooks.KINDS:
            understood |= Q(event__startswith=f"{kind}.")
        chosen = list(queryset.filter(understood))
        Notification.objects.filter(pk__in=[row.pk for row in chosen]).update(processed_at=None, outcome="")
        for notification in chosen:
            webhooks.process_notification(notification.pk)
            notification.refresh_from_db()
            done = notification.processed_at is not None
            said = (
                notification.outcome if done else _("the gateway does not say; it is tried again by itself")
            )
            self.tell(request, f"{notification}: {said}", ok=done)
        self.record(request, chosen, "Processed again")
        if not chosen:
            self.tell(request, _("None of these is about a payment or a refund."), ok=False)
