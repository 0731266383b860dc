"""The outbox in the admin: read, and what failed sent again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from botapp import outbox
from botapp.models import Chat, Delivery, DeliveryStatus
from botapp.outbox.news import SENDERS
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    Tone,
    action,
    ago,
    badge,
    clipped,
    display,
    exactly,
    link,
    matching_number,
)

MOST_AT_ONCE = 500
DELIVERY_TONES = {
    DeliveryStatus.PENDING: Tone.WARNING,
    DeliveryStatus.SENDING: Tone.BUSY,
    DeliveryStatus.SENT: Tone.GOOD,
    DeliveryStatus.FAILED: Tone.BAD,
    DeliveryStatus.CANCELLED: Tone.PLAIN,
}


class KindFilter(admin.SimpleListFilter):
    """Deliveries that say one kind of thing; offered without reading the table."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer every kind there is."""
        return [(kind, kind) for kind in SENDERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Keep the deliveries of that kind."""
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyMixin, ModelAdmin):
    """What the bot sends on its own account."""

    list_display = ["id", "chat_id", "kind", "lane", "state", "why", "tries", "created"]
    list_filter = ["status", "lane", KindFilter, "created_at"]
    sortable_by = ["id"]
    search_fields = ["id", "chat_id", "key"]
    search_help_text = _("Number of the delivery, Telegram id of the chat, or the whole cause")
    actions = ["send_again"]
    fieldsets = [
        (None, {"fields": ["state", "chat_link", "kind", "lane", "failure", "tries"]}),
        (_("Times"), {"fields": ["owed", "finished", "tried_next"]}),
        (_("Subject"), {"fields": ["key", "subject", "broadcast", "message_id"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """Find deliveries by number, chat or cause."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(Q(key=term) | matching_number(term, "id", "chat_id")), False

    def has_again_permission(self, request: HttpRequest) -> bool:
        """Let those send again who may change deliveries."""
        return request.user.has_perm("botapp.change_delivery")

    @display(description=_("status"))
    def state(self, delivery: Delivery) -> SafeString:
        """Status as a badge."""
        status = DeliveryStatus(delivery.status)
        return badge(status.label, DELIVERY_TONES[status])

    @display(description=_("why it failed"))
    def why(self, delivery: Delivery) -> SafeString | None:
        """The reason, as far as it fits."""
        return clipped(delivery.failure)

    @display(description=_("chat"))
    def chat_link(self, delivery: Delivery) -> Any:
        """The chat, as a link where it is still there."""
        if not Chat.objects.filter(pk=delivery.chat_id).exists():
            return delivery.chat_id
        return link("botapp_chat_change", delivery.chat_id, delivery.chat_id)

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
        return None if delivery.finished_at else exactly(delivery.next_try_at)

    @action(description=_("Send again"), permissions=["again"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Give deliveries that failed another chance."""
        failed = list(queryset.filter(status=DeliveryStatus.FAILED).order_by("pk")[:MOST_AT_ONCE])
        count = outbox.send_again(Delivery.objects.filter(pk__in=[row.pk for row in failed]))
        self.record(request, failed, "Sent again")
        text = ngettext("%(count)d delivery waits again.", "%(count)d deliveries wait again.", count)
        self.tell(request, text % {"count": count}, ok=count > 0)
