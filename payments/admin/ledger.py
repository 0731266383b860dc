"""The ledger in the admin: read and searched, never written but by the form that posts a new entry."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payments.admin.grants import PAGE, PERMISSION, grant_page
from payments.admin.parts import signed
from payments.models import LedgerEntry
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    Tone,
    action,
    badge,
    display,
    exactly,
    link,
    matching_number,
)

# Where the subject of a cause is shown, by the first word of the cause.
SUBJECTS = {
    "job": "jobs_job_change",
    "payment": "payments_payment_change",
    "refund": "payments_refund_change",
    "promo": "payments_promocode_change",
}


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyMixin, ModelAdmin):
    """Entries as they were posted: the database would refuse any other use."""

    actions = None
    actions_list = ["grant"]
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

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the form that gives and takes points."""
        view = self.admin_site.admin_view(self.grant_view)
        return [path("grant-points/", view, name=PAGE.removeprefix("admin:")), *super().get_urls()]

    def grant_view(self, request: HttpRequest) -> HttpResponse:
        """Give points, or take them."""
        return grant_page(self, request)

    def has_grant_permission(self, request: HttpRequest) -> bool:
        """Offer the form to those who may post."""
        return request.user.has_perm(PERMISSION)

    @action(description=_("Give or take points"), permissions=["grant"], url_path="grant", icon="toll")
    def grant(self, _request: HttpRequest) -> HttpResponse:
        """Go to the form."""
        return HttpResponseRedirect(reverse(PAGE))

    @display(description=_("points"), ordering="amount")
    def points(self, entry: LedgerEntry) -> SafeString:
        """Amount with its sign."""
        return badge(signed(entry.amount), Tone.GOOD if entry.amount > 0 else Tone.PLAIN)

    @display(description=_("cause"))
    def cause(self, entry: LedgerEntry) -> Any:
        """The unique key, as a link to what caused it."""
        subject, _colon, rest = entry.key.partition(":")
        number = rest.partition(":")[0]
        if subject not in SUBJECTS or not number.isdecimal():
            return entry.key
        return link(SUBJECTS[subject], entry.key, number)

    @display(description=_("created"))
    def posted(self, entry: LedgerEntry) -> SafeString | None:
        """When the entry was made."""
        return exactly(entry.created_at)
