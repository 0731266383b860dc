"""Refunds in the admin: read, pending ones first, and asked for at their gateway."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Case, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payments import refunds
from payments.admin.parts import entries_table, money, refund_badge
from payments.models import Refund, RefundStatus
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    action,
    ago,
    clipped,
    display,
    exactly,
    link,
    matching_number,
)
from qwenedit.errors import DomainError


@admin.register(Refund)
class RefundAdmin(ReadOnlyMixin, ModelAdmin):
    """Money given back, or on its way back."""

    list_display = ["id", "of", "user", "sum", "points", "state", "why_given", "by", "is_forced", "created"]
    list_filter = ["status", "is_external", "is_forced", "created_at"]
    list_select_related = ["payment__user", "staff"]
    ordering = [Case(When(status=RefundStatus.PENDING, then=Value(0)), default=Value(1)), "-id"]
    sortable_by = ["id"]
    search_fields = ["id", "payment__user__username", "gateway_id"]
    search_help_text = _(
        "Number of the refund or payment, id at the gateway, user name, user id, Telegram id"
    )
    actions = ["ask_gateway"]
    actions_detail = ["ask_about_this"]
    fieldsets = [
        (None, {"fields": ["state", "of", "user", "sum", "points", "reason", "failure", "entries"]}),
        (_("Origin"), {"fields": ["by", "is_external", "is_forced", "gateway_id"]}),
        (_("Times"), {"fields": ["submitted", "finished", "checks", "asked_next"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Refund], search_term: str
    ) -> tuple[QuerySet[Refund], bool]:
        """Find refunds by their number, their payment, its user or their id at the gateway."""
        term = search_term.strip()
        if not term:
            return queryset, False
        words = Q(payment__user__username__icontains=term) | Q(gateway_id=term)
        numbers = matching_number(term, "id", "payment_id", "payment__user_id", "payment__user__telegram_id")
        return queryset.filter(words | numbers), False

    def has_ask_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Let those ask who may change refunds; offer it only while the outcome is open."""
        if not request.user.has_perm("payments.change_refund"):
            return False
        if object_id is None or not str(object_id).isdecimal():
            return True
        return Refund.objects.filter(pk=int(object_id), status=RefundStatus.PENDING).exists()

    @display(description=_("payment"))
    def of(self, refund: Refund) -> SafeString:
        """What was paid, as a link to its page."""
        return link("payments_payment_change", f"#{refund.payment_id}", refund.payment_id)

    @display(description=_("user"))
    def user(self, refund: Refund) -> Any:
        """Whose money it is."""
        return refund.payment.user

    @display(description=_("amount"))
    def sum(self, refund: Refund) -> str:
        """What is given back."""
        return money(refund.amount, refund.payment.currency)

    @display(description=_("status"))
    def state(self, refund: Refund) -> SafeString:
        """Status as a badge."""
        return refund_badge(refund)

    @display(description=_("reason"))
    def why_given(self, refund: Refund) -> SafeString | None:
        """The reason, as far as it fits."""
        return clipped(refund.reason)

    @display(description=_("by"))
    def by(self, refund: Refund) -> Any:
        """Who gave it back."""
        return refund.staff or _("the gateway's cabinet")

    @display(description=_("ledger"))
    def entries(self, refund: Refund) -> SafeString | None:
        """What the ledger says of the refund."""
        return entries_table([f"refund:{refund.pk}", f"refund:{refund.pk}:returned"])

    @display(description=_("created"), ordering="id")
    def created(self, refund: Refund) -> SafeString | None:
        """Age of the refund."""
        return ago(refund.created_at)

    @display(description=_("created"))
    def submitted(self, refund: Refund) -> SafeString | None:
        """When it was asked for, to the second."""
        return exactly(refund.created_at)

    @display(description=_("finished"))
    def finished(self, refund: Refund) -> SafeString | None:
        """When its outcome was known, to the second."""
        return exactly(refund.finished_at)

    @display(description=_("asked for next"))
    def asked_next(self, refund: Refund) -> SafeString | None:
        """When the gateway is asked the next time, to the second."""
        return exactly(refund.next_check_at)

    @action(description=_("Ask the gateway now"), permissions=["ask"])
    def ask_gateway(self, request: HttpRequest, queryset: QuerySet[Refund]) -> None:
        """Ask how pending refunds are, and act on it as the beat would."""
        pending = list(queryset.filter(status=RefundStatus.PENDING).select_related("payment"))
        for refund in pending:
            try:
                refunds.check_refund(refund)
            except (DomainError, LookupError) as error:
                self.tell(request, f"{refund}: {error}", ok=False)
                continue
            refund.refresh_from_db()
            if refund.status != RefundStatus.PENDING:
                self.record(request, [refund], f"Asked the gateway: pending became {refund.status}")
            told = {"refund": refund, "status": RefundStatus(refund.status).label, "why": refund.failure}
            text = _("%(refund)s: %(status)s (%(why)s)") if refund.failure else _("%(refund)s: %(status)s")
            self.tell(request, text % told, ok=refund.status == RefundStatus.SUCCEEDED)
        if not pending:
            self.tell(request, _("None of these is pending."), ok=False)

    @action(description=_("Ask the gateway now"), permissions=["ask"], url_path="ask", icon="sync")
    def ask_about_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask about one refund, from its page."""
        self.ask_gateway(request, self.only(request, object_id))
        return HttpResponseRedirect(reverse("admin:payments_refund_change", args=[object_id]))
