"""Promo codes in the admin: one that is chosen, or a batch of random ones, to be exported as CSV."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payments.admin.batches import BatchForm, make_batch
from payments.models import PromoCode, stored_form
from payments.promo import csv_lines
from qwenedit.admin import ModelAdmin, Tone, action, ago, badge, display, exactly


class PromoCodeForm(forms.ModelForm):
    """A code; what was promised with it stays as it is."""

    class Meta:
        model = PromoCode
        fields = ["code", "points", "max_uses", "uses_per_user", "expires_at", "is_active", "batch"]
        help_texts = {
            "max_uses": _("Empty: as often as you like."),
            "expires_at": _("UTC. Empty: never."),
        }

    def clean_code(self) -> str:
        """Bring the code into the form in which it is compared."""
        return stored_form(self.cleaned_data["code"])

    def clean_max_uses(self) -> int | None:
        """Refuse fewer uses than there were; the lock keeps more from coming before this is saved."""
        most: int | None = self.cleaned_data["max_uses"]
        if self.instance.pk is not None and most is not None:
            uses = (
                PromoCode.objects.select_for_update().values_list("uses", flat=True).get(pk=self.instance.pk)
            )
            if most < uses:
                raise forms.ValidationError(_("It was used %d times already.") % uses)
        return most


@admin.register(PromoCode)
class PromoCodeAdmin(ModelAdmin):
    """Words that are worth points."""

    form = PromoCodeForm
    list_display = ["code", "points", "used", "uses_per_user", "state", "expires", "batch", "created"]
    list_filter = ["is_active", "expires_at", "created_at", "batch"]
    ordering = ["-id"]
    sortable_by = ["code", "points"]
    search_fields = ["code", "batch"]
    actions = ["export", "switch_on", "switch_off"]
    actions_list = ["batch"]
    promised = ["code", "points"]
    fields = [
        *promised,
        "max_uses",
        "uses_per_user",
        "expires_at",
        "is_active",
        "batch",
    ]

    def get_urls(self) -> list[URLPattern]:
        """Add the address of the form that makes a batch."""
        view = self.admin_site.admin_view(self.batch_view)
        return [path("make-batch/", view, name="payments_promocode_make_batch"), *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: PromoCode | None = None) -> Any:
        """Show how often a code was used once it exists."""
        return self.fields if obj is None else [*self.fields, "uses", "made"]

    def get_readonly_fields(self, request: HttpRequest, obj: PromoCode | None = None) -> list[str]:
        """Keep what somebody may have printed already."""
        return [] if obj is None else [*self.promised, "uses", "made"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: entries of the ledger may refer to the code, and somebody may have printed it."""
        return False

    def save_model(self, request: HttpRequest, obj: PromoCode, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001
        """Write what was changed and nothing else: the code may be redeemed at this moment."""
        if not change:
            super().save_model(request, obj, form, change)
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)

    def batch_view(self, request: HttpRequest) -> HttpResponse:
        """Ask what a batch should be like, make it, and show it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = BatchForm(request.POST or None)
        if form.is_valid() and make_batch(form):
            batch = form.cleaned_data["batch"]
            first = PromoCode.objects.filter(batch=batch)[:1]
            self.record(request, list(first), f"Made the batch {batch} of {form.cleaned_data['count']}")
            self.tell(request, _("%(count)d codes made.") % {"count": form.cleaned_data["count"]})
            return HttpResponseRedirect(
                reverse("admin:payments_promocode_changelist", query={"batch": batch})
            )
        return self.ask(request, form, question=_("Make a batch of promo codes?"), button=_("Make"))

    @display(description=_("used"), ordering="uses")
    def used(self, code: PromoCode) -> str:
        """How often it was redeemed, of how often it may be."""
        return f"{code.uses} / {'∞' if code.max_uses is None else code.max_uses}"

    @display(description=_("state"))
    def state(self, code: PromoCode) -> SafeString:
        """Whether somebody may redeem it."""
        if not code.is_active:
            return badge(_("switched off"))
        if code.expires_at is not None and code.expires_at <= timezone.now():
            return badge(_("expired"), Tone.WARNING)
        if code.max_uses is not None and code.uses >= code.max_uses:
            return badge(_("used up"))
        return badge(_("valid"), Tone.GOOD)

    @display(description=_("expires"), ordering="expires_at")
    def expires(self, code: PromoCode) -> SafeString | None:
        """When it ends."""
        return exactly(code.expires_at)

    @display(description=_("created"), ordering="id")
    def created(self, code: PromoCode) -> SafeString | None:
        """Age of the code."""
        return ago(code.created_at)

    @display(description=_("created"))
    def made(self, code: PromoCode) -> SafeString | None:
        """When it was made, to the second."""
        return exactly(code.created_at)

    @action(description=_("Make a batch"), permissions=["add"], url_path="batch", icon="confirmation_number")
    def batch(self, _request: HttpRequest) -> HttpResponse:
        """Go to the form of a batch."""
        return HttpResponseRedirect(reverse("admin:payments_promocode_make_batch"))

    @action(description=_("Export as CSV"), permissions=["view"])
    def export(self, _request: HttpRequest, queryset: QuerySet[PromoCode]) -> StreamingHttpResponse:
        """Send the codes as a file for a spreadsheet."""
        answer = StreamingHttpResponse(csv_lines(queryset.iterator()), content_type="text/csv; charset=utf-8")
        answer.headers["Content-Disposition"] = 'attachment; filename="promo-codes.csv"'
        return answer

    @action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[PromoCode]) -> None:
        """Let codes be redeemed."""
        self._switch(request, queryset, is_active=True)

    @action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[PromoCode]) -> None:
        """Let codes be redeemed no longer."""
        self._switch(request, queryset, is_active=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[PromoCode], *, is_active: bool) -> None:
        rows = list(queryset.exclude(is_active=is_active))
        PromoCode.objects.filter(pk__in=[row.pk for row in rows]).update(is_active=is_active)
        self.record(request, rows, "Switched on" if is_active else "Switched off")
        self.tell(request, _("%d codes changed.") % len(rows), ok=bool(rows))
