"""The knowledge base."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Article(models.Model):
    """A short text that helps people to better edits. Rows come from `articles/` and the admin."""

    slug = models.SlugField(_("slug"), max_length=40, unique=True)
    icon = models.CharField(_("icon"), max_length=16, blank=True)
    title_ru = models.CharField(_("title, Russian"), max_length=60)
    title_en = models.CharField(_("title, English"), max_length=60)
    body_ru = models.TextField(_("text, Russian"), max_length=3500, help_text=_("Telegram's HTML."))
    body_en = models.TextField(_("text, English"), max_length=3500, help_text=_("Telegram's HTML."))
    sort_order = models.PositiveIntegerField(_("sort order"), default=0)
    is_active = models.BooleanField(_("shown"), default=True)
    is_customised = models.BooleanField(_("edited here"), default=False, editable=False)

    class Meta:
        ordering = ["sort_order", "id"]

    def __str__(self) -> str:
        return self.title_en
