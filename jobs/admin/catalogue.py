"""The preset catalogue in the admin. What is saved here is the staff's, until restored from the files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import RelatedFieldListFilter
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Count, Model, QuerySet
from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from jobs import pictures
from jobs.admin.photo_titles import PhotoTitlesField
from jobs.admin.pictures import picture_response
from jobs.catalogue import CatalogueError, read_catalogue
from jobs.catalogue_sync import sync_catalogue
from jobs.models import Category, Preset
from qwenedit.admin import ImageInput, ModelAdmin, Tone, action, badge, display, link
from qwenedit.errors import DomainError
from qwenedit.lib.images import MAX_UPLOAD_BYTES, normalise_upload

SAMPLES = ("before", "after")
AROUND = "parent__parent__parent__parent"  # as deep as shelves stand inside shelves, and one more


def shelf_path(category: Category) -> str:
    """Return a category's title after those of the categories around it."""
    return f"{shelf_path(category.parent)} › {category}" if category.parent else str(category)


class ShelfFilter(RelatedFieldListFilter):
    """One category, offered by its whole path."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        """Offer every category."""
        return [(row.pk, shelf_path(row)) for row in Category.objects.select_related(AROUND)]


class CatalogueAdmin(ModelAdmin):
    """What categories and presets share: the mark of the staff's hand, and the way back to the files."""

    actions = ["restore"]

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001
        """Keep the catalogue's files from undoing what was changed here."""
        if form.changed_data or not change:
            obj.is_customised = True
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse rows that follow the files: the next load would bring them back."""
        from_files = isinstance(obj, (Category, Preset)) and not obj.is_customised
        return super().has_delete_permission(request, obj) and not from_files

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer categories by their whole path: several are called Short."""
        kwargs["queryset"] = Category.objects.select_related(AROUND)
        field: Any = super().formfield_for_foreignkey(db_field, request, **kwargs)
        field.label_from_instance = shelf_path
        return field

    @display(description=_("origin"), ordering="is_customised")
    def origin(self, row: Category | Preset) -> SafeString:
        """Whether the row follows the catalogue's files."""
        return badge(_("edited here"), Tone.BUSY) if row.is_customised else badge(_("catalogue"))

    @action(description=_("Restore from the catalogue"), permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Make rows say again what the catalogue's files say. Rows that are in no file stay as they are."""
        try:
            catalogue = read_catalogue()
        except CatalogueError as error:
            self.tell(request, error.message, ok=False)
            return
        slugs = {entry.slug for entry in catalogue.categories} | {entry.slug for entry in catalogue.presets}
        with transaction.atomic():
            rows = list(queryset.filter(slug__in=slugs, is_customised=True))
            self.model._default_manager.filter(pk__in=[row.pk for row in rows]).update(is_customised=False)
            sync_catalogue(catalogue)
            self.record(request, rows, "Restored from the catalogue")
        count = len(rows)
        self.tell(
            request,
            ngettext("%(count)d row restored.", "%(count)d rows restored.", count) % {"count": count},
            ok=count > 0,
        )


class CategoryForm(forms.ModelForm):
    """A category that does not stand inside itself."""

    class Meta:
        model = Category
        fields = ["slug", "parent", "title_ru", "title_en", "icon", "sort_order"]

    def clean_parent(self) -> Category | None:
        """Refuse a parent that is the category itself, or somewhere below it."""
        parent: Category | None = self.cleaned_data["parent"]
        above = parent
        while above is not None:
            if above.pk == self.instance.pk:
                raise ValidationError(_("A category can not stand inside itself."))
            above = above.parent
        return parent


@admin.register(Category)
class CategoryAdmin(CatalogueAdmin):
    """The shelves of the catalogue."""

    form = CategoryForm
    list_display = ["title_en", "title_ru", "icon", "shelf", "presets_here", "sort_order", "slug", "origin"]
    list_filter = ["is_customised", ("parent", ShelfFilter)]
    list_select_related = [AROUND]
    ordering = ["id"]
    search_fields = ["slug", "title_en", "title_ru"]
    fields = ["title_en", "title_ru", "icon", "parent", "sort_order", "slug", "origin"]
    readonly_fields = ["origin"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Category]:
        """Count the presets of each category."""
        categories: QuerySet[Category] = super().get_queryset(request)
        return categories.annotate(presets_count=Count("presets"))

    @display(description=_("stands in"), ordering="parent")
    def shelf(self, category: Category) -> str | None:
        """The categories around it."""
        return shelf_path(category.parent) if category.parent else None

    @display(description=_("presets"), ordering="presets_count")
    def presets_here(self, category: Category) -> SafeString:
        """How many presets stand here, as a link to them."""
        count = category.presets_count  # type: ignore[attr-defined]
        return link("jobs_preset_changelist", count, category__id__exact=category.pk)


class SampleInput(ImageInput):
    """Shows a stored sample through the admin: pictures have no public address."""

    def format_value(self, value: Any) -> Any:
        """Return the sample with the address that staff may open."""
        if not (isinstance(value, FieldFile) and value and isinstance(value.instance, Preset)):
            return super().format_value(value)
        side = value.field.name.removeprefix("sample_")
        return SimpleNamespace(url=sample_url(value.instance, side, "full"))


class PresetForm(forms.ModelForm):
    """A preset; its samples are cleaned as users' pictures are."""

    photo_titles = PhotoTitlesField()

    class Meta:
        model = Preset
        fields = "__all__"  # noqa: DJ007  (the admin's own `fields` name them)

    def clean(self) -> dict[str, Any] | None:
        """Several photos are asked for by name: each needs one."""
        cleaned = super().clean()
        photos, titles = self.cleaned_data.get("photos"), self.cleaned_data.get("photo_titles")
        if photos and titles is not None and len(titles) != photos and (titles or photos > 1):
            self.add_error("photo_titles", ValidationError(_("Name every photo, one a line.")))
        return cleaned

    def clean_sample_before(self) -> Any:
        """See `_clean_sample`."""
        return self._clean_sample("before")

    def clean_sample_after(self) -> Any:
        """See `_clean_sample`."""
        return self._clean_sample("after")

    def _clean_sample(self, side: str) -> Any:
        """Turn an upload into an upright JPEG without metadata."""
        sample = self.cleaned_data[f"sample_{side}"]
        if not isinstance(sample, UploadedFile):
            return sample
        try:
            picture = normalise_upload(sample.read(), max_bytes=MAX_UPLOAD_BYTES)
        except DomainError as error:
            raise ValidationError(error.message) from error
        return ContentFile(picture.data, name=f"{side}.{picture.extension}")


@admin.register(Preset)
class PresetAdmin(CatalogueAdmin):
    """Ready-made wishes."""

    form = PresetForm
    list_display = ["title_en", "samples", "icon", "shelf", "photos", "cost", "is_active", "origin"]
    list_editable = ["is_active"]
    list_filter = ["is_active", "photos", "is_customised", ("category", ShelfFilter)]
    list_select_related = [f"category__{AROUND}"]
    ordering = ["category_id", "sort_order", "id"]
    search_fields = ["slug", "title_en", "title_ru", "prompt"]
    fields = [
        "title_en",
        "title_ru",
        "icon",
        "category",
        "prompt",
        "photos",
        "photo_titles",
        "price",
        "is_active",
        "sample_before",
        "sample_after",
        "sort_order",
        "slug",
        "origin",
    ]
    readonly_fields = ["origin"]

    def get_urls(self) -> list[URLPattern]:
        """Add the addresses of samples."""
        view = self.admin_site.admin_view(self.sample_view)
        return [
            path("<int:preset_id>/sample/<str:side>/<str:size>/", view, name="jobs_preset_sample"),
            *super().get_urls(),
        ]

    def sample_view(self, request: HttpRequest, preset_id: int, side: str, size: str) -> HttpResponse:
        """Answer with a sample picture."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        preset = Preset.objects.filter(pk=preset_id).first()
        if preset is None or side not in SAMPLES:
            raise Http404
        return picture_response(getattr(preset, f"sample_{side}"), small=size != "full")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Show samples by their own addresses."""
        if db_field.name in {f"sample_{side}" for side in SAMPLES}:
            return db_field.formfield(widget=SampleInput)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Preset, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001
        """Delete the samples that were replaced, once nothing names them."""
        replaced = [
            form.initial[name].name
            for name in form.changed_data
            if name.startswith("sample_") and form.initial.get(name)
        ]
        super().save_model(request, obj, form, change)
        transaction.on_commit(lambda: pictures.delete_files(replaced))

    @display(description=_("samples"))
    def samples(self, preset: Preset) -> SafeString | None:
        """Before and after, small."""
        stored = [side for side in SAMPLES if getattr(preset, f"sample_{side}")]
        images = format_html_join(
            "",
            '<a href="{}" target="_blank"><img class="qe-sample" loading="lazy" alt="{}" src="{}"></a>',
            ((sample_url(preset, side, "full"), side, sample_url(preset, side, "small")) for side in stored),
        )
        return format_html('<span class="qe-samples">{}</span>', images) if stored else None

    @display(description=_("category"), ordering="category_id")
    def shelf(self, preset: Preset) -> str:
        """Where the preset stands."""
        return shelf_path(preset.category)

    @display(description=_("price, points"), ordering="price")
    def cost(self, preset: Preset) -> int:
        """What users pay."""
        return preset.cost


def sample_url(preset: Preset, side: str, size: str) -> str:
    """Return where staff see a sample, `full` or `small`."""
    return reverse("admin:jobs_preset_sample", args=[preset.pk, side, size])
