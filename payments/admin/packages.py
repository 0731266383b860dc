"""Top-up packages in the admin. What is saved here is the staff's, until restored from the file."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from payments.models import Package
from payments.packages import PackagesError, read_packages, sync_packages
from qwenedit.admin import ModelAdmin, Tone, action, badge, display


class PackageForm(forms.ModelForm):
    """A package that can be bought."""

    class Meta:
        model = Package
        fields = ["rubles", "bonus_percent", "sort_order", "is_active"]

    def clean_rubles(self) -> int:
        """Refuse a sum that nobody may pay."""
        rubles: int = self.cleaned_data["rubles"]
        low, high = settings.PAYMENT_MIN_AMOUNT, settings.PAYMENT_MAX_AMOUNT
        if not low <= rubles <= high:
            raise ValidationError(_("A top-up is %(low)d to %(high)d rubles.") % {"low": low, "high": high})
        return rubles


@admin.register(Package)
class PackageAdmin(ModelAdmin):
    """Sums on offer, and what each brings. Payments that were started keep what they were promised."""

    form = PackageForm
    actions = ["restore"]
    list_display = ["name", "bonus_percent", "brings", "sort_order", "is_active", "origin"]
    list_editable = ["bonus_percent", "sort_order", "is_active"]
    list_filter = ["is_active", "is_customised"]
    search_fields = ["rubles"]
    fields = ["rubles", "bonus_percent", "brings", "sort_order", "is_active", "origin"]
    readonly_fields = ["brings", "origin"]

    def save_model(self, request: HttpRequest, obj: Package, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001
        """Keep the packages' file from undoing what was changed here."""
        if form.changed_data or not change:
            obj.is_customised = True
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse rows that follow the file: the next load would bring them back."""
        from_file = isinstance(obj, Package) and not obj.is_customised
        return super().has_delete_permission(request, obj) and not from_file

    @display(description=_("package"), ordering="rubles")
    def name(self, package: Package) -> str:
        """As it reads on a button."""
        return str(package)

    @display(description=_("points"))
    def brings(self, package: Package) -> int | None:
        """What whoever pays this sum gets while it is on offer."""
        return package.points if package.rubles else None

    @display(description=_("origin"), ordering="is_customised")
    def origin(self, package: Package) -> SafeString:
        """Whether the row follows the file."""
        return badge(_("edited here"), Tone.BUSY) if package.is_customised else badge(_("file"))

    @action(description=_("Restore from the file"), permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Package]) -> None:
        """Make rows say again what the file says. Rows that are not in it stay as they are."""
        try:
            packages = read_packages()
        except PackagesError as error:
            self.tell(request, error.message, ok=False)
            return
        with transaction.atomic():
            rows = list(queryset.filter(rubles__in=[data.rubles for data in packages], is_customised=True))
            Package.objects.filter(pk__in=[row.pk for row in rows]).update(is_customised=False)
            sync_packages(packages)
            self.record(request, rows, "Restored from the file")
        count = len(rows)
        self.tell(
            request,
            ngettext("%(count)d package restored.", "%(count)d packages restored.", count) % {"count": count},
            ok=count > 0,
        )
