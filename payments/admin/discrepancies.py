"""What does not add up, in the admin: open ones first, for a person to settle."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Case, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payments import discrepancies
from payments.admin.parts import discrepancy_badge
from payments.models import Discrepancy
from qwenedit.admin import (
    ModelAdmin,
    ReadOnlyMixin,
    action,
    ago,
    as_it_came,
    clipped,
    display,
    exactly,
    link,
    matching_number,
)
from qwenedit.users.models import User


@admin.register(Discrepancy)
class DiscrepancyAdmin(ReadOnlyMixin, ModelAdmin):
    """Quarantined money and differences with a gateway. Resolving one moves no money and no points."""

    list_display = ["id", "kind", "about", "at_gateway", "differs", "state", "found"]
    list_filter = [("resolved_at", admin.EmptyFieldListFilter), "kind", "found_at"]
    ordering = [Case(When(resolved_at__isnull=True, then=Value(0)), default=Value(1)), "-id"]
    sortable_by = ["id"]
    search_fields = ["id", "gateway_id", "payment__user__username"]
    search_help_text = _("Number, id at the gateway, number of the payment, or user name")
    actions = ["resolve"]
    actions_detail = ["resolve_this"]
    fieldsets = [
        (None, {"fields": ["state", "kind", "detail", "about", "gateway_id", "discovered"]}),
        (_("Resolution"), {"fields": ["resolution", "resolved_by", "resolved"]}),
        (_("As the gateway has it"), {"fields": ["content"]}),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Discrepancy], search_term: str
    ) -> tuple[QuerySet[Discrepancy], bool]:
        """Find discrepancies by number, payment, user or id at the gateway."""
        term = search_term.strip()
        if not term:
            return queryset, False
        words = Q(gateway_id=term) | Q(payment__user__username__icontains=term)
        return queryset.filter(words | matching_number(term, "id", "payment_id")), False

    def has_resolve_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Let those resolve who may change discrepancies; offer it only while one is open."""
        if not request.user.has_perm("payments.change_discrepancy"):
            return False
        if object_id is None or not str(object_id).isdecimal():
            return True
        return Discrepancy.objects.filter(pk=int(object_id), resolved_at__isnull=True).exists()

    @display(description=_("payment"))
    def about(self, discrepancy: Discrepancy) -> SafeString | None:
        """Our payment, where there is one, as a link to its page."""
        if discrepancy.payment_id is None:
            return None
        return link("payments_payment_change", f"#{discrepancy.payment_id}", discrepancy.payment_id)

    @display(description=_("id at the gateway"))
    def at_gateway(self, discrepancy: Discrepancy) -> SafeString | None:
        """Its id there, as far as it fits."""
        return clipped(discrepancy.gateway_id)

    @display(description=_("what differs"))
    def differs(self, discrepancy: Discrepancy) -> SafeString | None:
        """What differs, as far as it fits."""
        return clipped(discrepancy.detail)

    @display(description=_("state"))
    def state(self, discrepancy: Discrepancy) -> SafeString:
        """Whether it is settled."""
        return discrepancy_badge(discrepancy)

    @display(description=_("found"), ordering="id")
    def found(self, discrepancy: Discrepancy) -> SafeString | None:
        """How long ago it was found."""
        return ago(discrepancy.found_at)

    @display(description=_("found"))
    def discovered(self, discrepancy: Discrepancy) -> SafeString | None:
        """When it was found, to the second."""
        return exactly(discrepancy.found_at)

    @display(description=_("resolved"))
    def resolved(self, discrepancy: Discrepancy) -> SafeString | None:
        """When it was settled, to the second."""
        return exactly(discrepancy.resolved_at)

    @display(description=_("object"))
    def content(self, discrepancy: Discrepancy) -> SafeString | None:
        """The gateway's own object."""
        return as_it_came(discrepancy.raw)

    @action(description=_("Resolve"), permissions=["resolve"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Discrepancy]) -> HttpResponse | None:
        """Note how discrepancies were settled, after asking for it."""
        unsettled = queryset.filter(resolved_at__isnull=True)
        resolution = self.ask_reason(
            request,
            unsettled,
            action_name="resolve",
            question=_("How was this settled? The note closes it; money and points stay as they are."),
            button=_("Resolve"),
        )
        if not isinstance(resolution, str):
            return resolution
        if not isinstance(request.user, User):
            raise PermissionDenied
        rows = list(unsettled)
        for discrepancy in rows:
            discrepancies.resolve(discrepancy, staff=request.user, resolution=resolution)
        self.record(request, rows, f"Resolved: {resolution}")
        count = len(rows)
        self.tell(
            request,
            ngettext("%(count)d discrepancy resolved.", "%(count)d discrepancies resolved.", count)
            % {"count": count},
            ok=count > 0,
        )
        return None

    @action(description=_("Resolve"), permissions=["resolve"], url_path="resolve", icon="task_alt")
    def resolve_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Settle one discrepancy, from its page."""
        page = self.resolve(request, self.only(request, object_id))
        return page or HttpResponseRedirect(reverse("admin:payments_discrepancy_change", args=[object_id]))
