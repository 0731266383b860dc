"""What the pages about money share: sums, badges, and what belongs to a payment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payments.models import Discrepancy, LedgerEntry, Payment, PaymentStatus, Refund, RefundStatus
from payments.services import KOPEKS
from qwenedit.admin import ReadOnlyMixin, TabularInline, Tone, ago, badge, display, exactly, link

PAYMENT_TONES = {
    PaymentStatus.PENDING: Tone.WARNING,
    PaymentStatus.SUCCEEDED: Tone.GOOD,
    PaymentStatus.CANCELED: Tone.PLAIN,
    PaymentStatus.REJECTED: Tone.BAD,
}
REFUND_TONES = {
    RefundStatus.PENDING: Tone.WARNING,
    RefundStatus.SUCCEEDED: Tone.GOOD,
    RefundStatus.CANCELED: Tone.BAD,
}


def units(currency: str) -> int:
    """Return how many of the smallest unit make one of a currency; a Star is not divided."""
    return KOPEKS if currency == "RUB" else 1


def money(amount: int, currency: str) -> str:
    """Return a sum as people write it, on one line."""
    if currency == "RUB":
        rubles, kopeks = divmod(amount, KOPEKS)
        return f"{rubles}.{kopeks:02d}\N{NO-BREAK SPACE}₽"
    return f"{amount}\N{NO-BREAK SPACE}{'⭐' if currency == 'XTR' else currency}"


def signed(points: int) -> str:
    """Return an amount of points with its sign."""
    return f"{points:+d}".replace("-", "−")


def payment_badge(payment: Payment) -> SafeString:
    """Return where a payment is."""
    status = PaymentStatus(payment.status)
    return badge(status.label, PAYMENT_TONES[status])


def refund_badge(refund: Refund) -> SafeString:
    """Return where a refund is."""
    status = RefundStatus(refund.status)
    return badge(status.label, REFUND_TONES[status])


def discrepancy_badge(discrepancy: Discrepancy) -> SafeString:
    """Return whether somebody has settled a discrepancy."""
    return badge(_("resolved"), Tone.GOOD) if discrepancy.resolved_at else badge(_("open"), Tone.BAD)


def entries_table(causes: Iterable[str]) -> SafeString | None:
    """Return what the ledger says of some causes."""
    rows = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        (
            (
                signed(entry.amount),
                _("balance %d") % entry.balance_after,
                entry.get_kind_display(),
                ago(entry.created_at),
                link("payments_ledgerentry_change", entry.key, entry.pk),
            )
            for entry in LedgerEntry.objects.filter(key__in=list(causes)).order_by("id")
        ),
    )
    return format_html('<table class="qe-table">{}</table>', rows) if rows else None


class PartOfPayment(ReadOnlyMixin, TabularInline):
    """Rows that are shown to whoever may see the payment."""

    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Payment | None = None) -> bool:
        """Follow the payment."""
        return request.user.has_perm("payments.view_payment")


class RefundInline(PartOfPayment):
    """What was given back of a payment."""

    model = Refund
    fields = readonly_fields = (
        "number",
        "sum",
        "points",
        "state",
        "reason",
        "by",
        "gateway_id",
        "made",
        "why",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refund]:
        """Fetch the staff along."""
        return super().get_queryset(request).select_related("staff", "payment")

    @display(description=_("refund"))
    def number(self, refund: Refund) -> SafeString:
        """Its number, as a link to its page."""
        return link("payments_refund_change", f"#{refund.pk}", refund.pk)

    @display(description=_("amount"))
    def sum(self, refund: Refund) -> str:
        """What is given back."""
        return money(refund.amount, refund.payment.currency)

    @display(description=_("status"))
    def state(self, refund: Refund) -> SafeString:
        """Status as a badge."""
        return refund_badge(refund)

    @display(description=_("by"))
    def by(self, refund: Refund) -> Any:
        """Who gave it back."""
        return refund.staff or _("the gateway's cabinet")

    @display(description=_("created"))
    def made(self, refund: Refund) -> SafeString | None:
        """When it was asked for."""
        return exactly(refund.created_at)

    @display(description=_("why it failed"))
    def why(self, refund: Refund) -> str:
        """What the gateway said."""
        return refund.failure


class DiscrepancyInline(PartOfPayment):
    """What does not add up about a payment."""

    model = Discrepancy
    fields = readonly_fields = ("number", "kind", "detail", "found", "state", "resolution")

    @display(description=_("discrepancy"))
    def number(self, discrepancy: Discrepancy) -> SafeString:
        """Its number, as a link to its page."""
        return link("payments_discrepancy_change", f"#{discrepancy.pk}", discrepancy.pk)

    @display(description=_("found"))
    def found(self, discrepancy: Discrepancy) -> SafeString | None:
        """When it was found."""
        return exactly(discrepancy.found_at)

    @display(description=_("state"))
    def state(self, discrepancy: Discrepancy) -> SafeString:
        """Whether it is settled."""
        return discrepancy_badge(discrepancy)
