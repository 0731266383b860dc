"""Top-ups in the admin: read, asked for at their gateway, and given back, but never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payments import refunds, services, stars
from payments.admin import refunding
from payments.admin.parts import (
    DiscrepancyInline,
    RefundInline,
    entries_table,
    money,
    payment_badge,
)
from payments.models import Payment, PaymentStatus, RefundStatus
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    action,
    ago,
    clipped,
    display,
    exactly,
    matching_number,
)
from qwenedit.errors import DomainError


@admin.register(Payment)
class PaymentAdmin(ReadOnlyMixin, ModelAdmin):
    """Top-ups. Their states belong to the services; staff may give back and ask."""

    list_display = ["id", "user", "sum", "points", "state", "method", "at_gateway", "created"]
    list_filter = ["status", "method", "gateway", "created_at"]
    list_select_related = ["user"]
    sortable_by = ["id"]
    search_fields = ["id", "user__username", "gateway_id"]
    search_help_text = _("Number, id at the gateway, user name, user id or Telegram id")
    actions = ["refund", "ask_gateway"]
    actions_detail = ["refund_this", "ask_about_this"]
    inlines = [RefundInline, DiscrepancyInline]
    fieldsets = [
        (None, {"fields": ["state", "user", "sum", "points", "left", "failure", "entries"]}),
        (_("Gateway"), {"fields": ["gateway", "method", "gateway_id", "email", "receipt_registration"]}),
        (_("Times"), {"fields": ["submitted", "finished", "checks", "asked_next"]}),
        (_("Request"), {"fields": ["request_id", "idempotency_key"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Payment], search_term: str
    ) -> tuple[QuerySet[Payment], bool]:
        """Find payments by number, user or id at the gateway."""
        term = search_term.strip()
        if not term:
            return queryset, False
        words = Q(user__username__icontains=term) | Q(gateway_id=term)
        return queryset.filter(words | matching_number(term, "id", "user_id", "user__telegram_id")), False

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the form that gives money back."""
        view = self.admin_site.admin_view(self.refund_view)
        return [
            path("<path:object_id>/give-back/", view, name="payments_payment_give_back"),
            *super().get_urls(),
        ]

    def refund_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how much of a payment to give back, and give it back."""
        return refunding.refund_page(self, request, object_id)

    def has_refund_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Let those give back who may; offer it only where something is left."""
        if not (request.user.has_perm("payments.refund_payment") and self.has_view_permission(request)):
            return False
        payment = _numbered(object_id)
        return payment is None or refunds.refundable_amount(payment) > 0

    def has_ask_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Let those ask who may change payments; offer it where there is something to ask about."""
        if not request.user.has_perm("payments.change_payment"):
            return False
        payment = _numbered(object_id)
        return payment is None or _is_known_or_pending(payment)

    @display(description=_("amount"), ordering="amount")
    def sum(self, payment: Payment) -> str:
        """What was paid."""
        return money(payment.amount, payment.currency)

    @display(description=_("status"))
    def state(self, payment: Payment) -> SafeString:
        """Status as a badge."""
        return payment_badge(payment)

    @display(description=_("id at the gateway"))
    def at_gateway(self, payment: Payment) -> SafeString | None:
        """Its id there, as far as it fits."""
        return clipped(payment.gateway_id or "")

    @display(description=_("created"), ordering="id")
    def created(self, payment: Payment) -> SafeString | None:
        """Age of the payment."""
        return ago(payment.created_at)

    @display(description=_("can be given back"))
    def left(self, payment: Payment) -> str:
        """What is neither given back nor on its way."""
        return money(refunds.refundable_amount(payment), payment.currency)

    @display(description=_("ledger"))
    def entries(self, payment: Payment) -> SafeString | None:
        """What the ledger says of the payment and of its refunds."""
        of_refunds = (f"refund:{pk}" for pk in payment.refunds.values_list("pk", flat=True))
        causes = [cause for refund in of_refunds for cause in (refund, f"{refund}:returned")]
        return entries_table([f"payment:{payment.pk}", *causes])

    @display(description=_("created"))
    def submitted(self, payment: Payment) -> SafeString | None:
        """When it was asked for, to the second."""
        return exactly(payment.created_at)

    @display(description=_("finished"))
    def finished(self, payment: Payment) -> SafeString | None:
        """When its outcome was known, to the second."""
        return exactly(payment.finished_at)

    @display(description=_("asked for next"))
    def asked_next(self, payment: Payment) -> SafeString | None:
        """When the gateway is asked the next time, to the second."""
        return exactly(payment.next_check_at)

    @action(description=_("Refund"), permissions=["refund"])
    def refund(self, request: HttpRequest, queryset: QuerySet[Payment]) -> HttpResponse | None:
        """Go to the form of the one payment that is selected."""
        selected = list(queryset.values_list("pk", flat=True)[:2])
        if len(selected) == 1:
            return self.refund_this(request, object_id=str(selected[0]))
        self.tell(request, _("Payments are given back one at a time: select one."), ok=False)
        return None

    @action(description=_("Refund"), permissions=["refund"], url_path="refund", icon="undo")
    def refund_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go to the form that gives money back."""
        return HttpResponseRedirect(reverse("admin:payments_payment_give_back", args=[object_id]))

    @action(description=_("Ask the gateway now"), permissions=["ask"])
    def ask_gateway(self, request: HttpRequest, queryset: QuerySet[Payment]) -> None:
        """Ask how payments and their pending refunds are, and act on it as the beat would."""
        for payment in queryset:
            if _is_known_or_pending(payment):
                self._ask_about(request, payment)
            else:
                self.tell(request, _("%s never reached its gateway.") % payment, ok=False)

    @action(description=_("Ask the gateway now"), permissions=["ask"], url_path="ask", icon="sync")
    def ask_about_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask about one payment, from its page."""
        self.ask_gateway(request, self.only(request, object_id))
        return HttpResponseRedirect(reverse("admin:payments_payment_change", args=[object_id]))

    def _ask_about(self, request: HttpRequest, payment: Payment) -> None:
        before = payment.status
        try:
            payment = _check(payment)
            for refund in payment.refunds.filter(status=RefundStatus.PENDING).select_related("payment"):
                refunds.check_refund(refund)
        except (DomainError, LookupError) as error:
            self.tell(request, f"{payment}: {error}", ok=False)
            return
        unsettled = payment.discrepancies.filter(resolved_at__isnull=True).count()
        if payment.status != before:
            self.record(request, [payment], f"Asked the gateway: {before} became {payment.status}")
        text = _("%(payment)s: %(status)s") % {
            "payment": payment,
            "status": PaymentStatus(payment.status).label,
        }
        if unsettled:
            text = _("%(text)s, with something that does not add up: see below") % {"text": text}
        self.tell(request, text, ok=not unsettled)


def _check(payment: Payment) -> Payment:
    is_invoice = payment.gateway == Payment.Gateway.STARS
    return stars.check_invoice(payment) if is_invoice else services.check_payment(payment)


def _numbered(object_id: Any) -> Payment | None:
    """Return the payment that a button is about; None where it is about none in particular."""
    if object_id is None or not str(object_id).isdecimal():
        return None
    return Payment.objects.filter(pk=int(object_id)).first()


def _is_known_or_pending(payment: Payment) -> bool:
    """Whether the gateway may know the payment: one that was refused or given up before it did is over.

    An invoice in Stars is known by its payload, and may be paid late.
    """
    is_invoice = payment.gateway == Payment.Gateway.STARS
    return is_invoice or payment.gateway_id is not None or payment.status == PaymentStatus.PENDING
