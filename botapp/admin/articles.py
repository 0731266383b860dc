"""The knowledge base in the admin. What is saved here is the staff's, until restored from the files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from botapp.admin.fields import MarkupField
from botapp.knowledge import KnowledgeError, read_articles, sync_articles
from botapp.models import Article
from qwenedit.admin import ModelAdmin, Tone, action, badge, display


@admin.register(Article)
class ArticleAdmin(ModelAdmin):
    """What people can read in the bot."""

    actions = ["restore"]
    list_display = ["title_en", "title_ru", "icon", "sort_order", "is_active", "slug", "origin"]
    list_editable = ["sort_order", "is_active"]
    list_filter = ["is_active", "is_customised"]
    search_fields = ["slug", "title_en", "title_ru", "body_en", "body_ru"]
    fields = [
        "title_en",
        "title_ru",
        "icon",
        "body_en",
        "body_ru",
        "sort_order",
        "is_active",
        "slug",
        "origin",
    ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Check the texts."""
        if db_field.name.startswith("body_"):
            kwargs["form_class"] = MarkupField
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Keep the slug of a row that exists: by it, its file is found."""
        return ["origin", "slug"] if obj is not None else ["origin"]

    def save_model(self, request: HttpRequest, obj: Article, form: forms.ModelForm, change: bool) -> None:  # noqa: FBT001
        """Keep the articles' files from undoing what was changed here."""
        if form.changed_data or not change:
            obj.is_customised = True
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse rows that follow the files: the next load would bring them back."""
        from_file = isinstance(obj, Article) and not obj.is_customised
        return super().has_delete_permission(request, obj) and not from_file

    @display(description=_("origin"), ordering="is_customised")
    def origin(self, article: Article) -> SafeString:
        """Whether the row follows its file."""
        return badge(_("edited here"), Tone.BUSY) if article.is_customised else badge(_("file"))

    @action(description=_("Restore from the files"), permissions=["change"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Article]) -> None:
        """Make rows say again what their files say. Rows that are in no file stay as they are."""
        try:
            articles = read_articles()
        except KnowledgeError as error:
            self.tell(request, error.message, ok=False)
            return
        with transaction.atomic():
            rows = list(queryset.filter(slug__in=[data.slug for data in articles], is_customised=True))
            Article.objects.filter(pk__in=[row.pk for row in rows]).update(is_customised=False)
            sync_articles(articles)
            self.record(request, rows, "Restored from the files")
        count = len(rows)
        self.tell(
            request,
            ngettext("%(count)d article restored.", "%(count)d articles restored.", count) % {"count": count},
            ok=count > 0,
        )
