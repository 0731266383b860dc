"""Edits as chats ordered them, in the admin: read only. Their jobs have pages of their own."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from botapp.models import Order, OrderStatus
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    Tone,
    ago,
    as_it_came,
    badge,
    clipped,
    display,
    exactly,
    link,
    matching_number,
)

ORDER_TONES = {
    OrderStatus.ACCEPTED: Tone.WARNING,
    OrderStatus.SUBMITTED: Tone.GOOD,
    OrderStatus.REFUSED: Tone.BAD,
    OrderStatus.CANCELLED: Tone.PLAIN,
}


@admin.register(Order)
class OrderAdmin(ReadOnlyMixin, ModelAdmin):
    """What was ordered, and the job it became."""

    actions = None
    list_display = ["id", "chat_link", "wish", "state", "job_link", "why", "tries", "created"]
    list_filter = ["status", "created_at"]
    list_select_related = ["chat__user", "preset", "job"]
    sortable_by = ["id"]
    search_fields = ["id", "chat__id", "key", "chat__user__username"]
    search_help_text = _("Number of the order, of its edit or chat, its cause, or the user name")
    fieldsets = [
        (None, {"fields": ["state", "chat_link", "job_link", "preset", "prompt", "why"]}),
        (_("Message"), {"fields": ["message_id", "said_last", "photo_file_id", "document_file_id"]}),
        (_("Times"), {"fields": ["ordered", "tries", "tried_next"]}),
        (_("Request"), {"fields": ["key", "pictures"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Order], search_term: str
    ) -> tuple[QuerySet[Order], bool]:
        """Find orders by number, edit, chat, cause or user."""
        term = search_term.strip()
        if not term:
            return queryset, False
        words = Q(key=term) | Q(chat__user__username__icontains=term)
        return queryset.filter(words | matching_number(term, "id", "job_id", "chat_id")), False

    @display(description=_("chat"))
    def chat_link(self, order: Order) -> SafeString:
        """The chat, as a link."""
        name = order.chat.user.first_name or order.chat.user.username
        return link("botapp_chat_change", name, order.chat_id)

    @display(description=_("wish"))
    def wish(self, order: Order) -> object:
        """The preset's title, or the beginning of the person's own words."""
        return f"{order.preset.icon} {order.preset}".strip() if order.preset else clipped(order.prompt)

    @display(description=_("status"))
    def state(self, order: Order) -> SafeString:
        """Status as a badge."""
        status = OrderStatus(order.status)
        return badge(status.label, ORDER_TONES[status])

    @display(description=_("edit"))
    def job_link(self, order: Order) -> SafeString | None:
        """The job it became, as a link."""
        return link("jobs_job_change", f"#{order.job_id}", order.job_id) if order.job_id else None

    @display(description=_("why it was refused"))
    def why(self, order: Order) -> SafeString | None:
        """What the person was told, as far as it fits."""
        return clipped(order.failure)

    @display(description=_("created"), ordering="id")
    def created(self, order: Order) -> SafeString | None:
        """Age of the order."""
        return ago(order.created_at)

    @display(description=_("created"))
    def ordered(self, order: Order) -> SafeString | None:
        """When it was ordered, to the second."""
        return exactly(order.created_at)

    @display(description=_("said last"))
    def said_last(self, order: Order) -> SafeString | None:
        """When its message changed last, to the second."""
        return exactly(order.shown_at)

    @display(description=_("tried next"))
    def tried_next(self, order: Order) -> SafeString | None:
        """When its photos are fetched the next time, to the second."""
        return exactly(order.next_try_at)

    @display(description=_("photos"))
    def pictures(self, order: Order) -> SafeString | None:
        """What Telegram calls the photos."""
        return as_it_came(order.photos)
