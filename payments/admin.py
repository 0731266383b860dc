"""The ledger in the admin: to be read and searched, never to be written."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payments.models import LedgerEntry
from qwenedit.admin import ModelAdmin, ReadOnlyMixin, Tone, badge, display, exactly, matching_number


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyMixin, ModelAdmin):
    """Entries as they were posted: the database would refuse any other use."""

    actions = None
    list_display = ["id", "user", "points", "balance_after", "kind", "cause", "description", "posted"]
    list_filter = ["kind", "created_at"]
    list_select_related = ["user"]
    sortable_by = ["id"]
    search_fields = ["key", "user__username"]
    search_help_text = _("User name, user id, Telegram id, or the beginning of a cause such as job:17")
    fields = ["id", "user", "points", "balance_after", "kind", "cause", "description", "posted"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LedgerEntry], search_term: str
    ) -> tuple[QuerySet[LedgerEntry], bool]:
        """Find entries by their user or by the beginning of their cause."""
        term = search_term.strip()
        if not term:
            return queryset, False
        by_user = Q(user__username__icontains=term) | matching_number(term, "user_id", "user__telegram_id")
        return queryset.filter(by_user | Q(key__startswith=term)), False

    @display(description=_("points"), ordering="amount")
    def points(self, entry: LedgerEntry) -> SafeString:
        """Amount with its sign."""
        return badge(f"{entry.amount:+d}".replace("-", "−"), Tone.GOOD if entry.amount > 0 else Tone.PLAIN)

    @display(description=_("cause"))
    def cause(self, entry: LedgerEntry) -> Any:
        """The unique key; that of an edit leads to the edit."""
        subject, _colon, rest = entry.key.partition(":")
        number = rest.partition(":")[0]
        if subject != "job" or not number.isdecimal():
            return entry.key
        return format_html(
            '<a class="qe-link" href="{}">{}</a>', reverse("admin:jobs_job_change", args=[number]), entry.key
        )

    @display(description=_("created"))
    def posted(self, entry: LedgerEntry) -> SafeString | None:
        """When the entry was made."""
        return exactly(entry.created_at)
