"""Brings the catalogue's files into the database, as often as one likes.

A row that staff edited in the admin is theirs: `is_customised` keeps the files' hands off it. A preset
that left the files goes off offer; its row stays, for old jobs refer to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from jobs.catalogue import Catalogue
from jobs.models import Category, Preset


@dataclass
class Changes:
    """How many rows a synchronisation touched."""

    created: int = 0
    updated: int = 0
    retired: int = 0


@transaction.atomic
def sync_catalogue(catalogue: Catalogue) -> Changes:
    """Create, update and retire rows so that they say what the files say."""
    changes = Changes()
    categories: dict[str, Category] = {row.slug: row for row in Category.objects.all()}
    for data in catalogue.categories:
        fields = {
            "parent": categories[data.parent] if data.parent else None,
            "title_ru": data.title_ru,
            "title_en": data.title_en,
            "icon": data.icon,
            "sort_order": data.sort_order,
        }
        category = categories.get(data.slug) or Category(slug=data.slug)
        _bring_up_to_date(category, fields, changes)
        categories[data.slug] = category
    presets: dict[str, Preset] = {row.slug: row for row in Preset.objects.all()}
    for preset_data in catalogue.presets:
        preset = presets.pop(preset_data.slug, None) or Preset(slug=preset_data.slug)
        preset_fields: dict[str, object] = {
            "category": categories[preset_data.category],
            "title_ru": preset_data.title_ru,
            "title_en": preset_data.title_en,
            "icon": preset_data.icon,
            "prompt": preset_data.prompt,
            "photos": preset_data.photos,
            "photo_titles": list(preset_data.photo_titles),
            "price": preset_data.price,
            "sort_order": preset_data.sort_order,
            "is_active": True,
        }
        _bring_up_to_date(preset, preset_fields, changes)
    left = [row.pk for row in presets.values() if row.is_active and not row.is_customised]
    changes.retired = Preset.objects.filter(pk__in=left).update(is_active=False)
    return changes


def _bring_up_to_date(row: Category | Preset, fields: Mapping[str, object], changes: Changes) -> None:
    is_new = row.pk is None
    if row.is_customised or not (
        is_new or any(getattr(row, name) != value for name, value in fields.items())
    ):
        return
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()
    changes.created += is_new
    changes.updated += not is_new
