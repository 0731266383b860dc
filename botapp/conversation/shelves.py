"""The preset catalogue as people walk through it: shelves inside shelves, pages of a few buttons.

Shelves without a preset on offer are left out. Knows no chat.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.models import Category, Preset

PAGE_SIZE = 8


@dataclass(frozen=True)
class Page:
    """What stands on one page of a shelf: shelves first, then presets. Numbers count from 1."""

    shelves: list[Category]
    presets: list[Preset]
    number: int
    pages: int


class Shelves:
    """The tree of shelves, read once."""

    def __init__(self) -> None:
        self._by_id = {row.pk: row for row in Category.objects.order_by("sort_order", "id")}
        stocked = Preset.objects.on_offer().order_by().values_list("category_id", flat=True).distinct()
        self._filled: set[int] = set()
        for category_id in stocked:
            above: int | None = category_id
            while above is not None and above not in self._filled:
                self._filled.add(above)
                above = self._by_id[above].parent_id

    def find(self, name: str) -> Category | None:
        """Return the shelf with that id or slug, if anything stands on it."""
        for shelf in self._by_id.values():
            if name in (str(shelf.pk), shelf.slug):
                return shelf if shelf.pk in self._filled else None
        return None

    def inside(self, shelf: Category | None) -> list[Category]:
        """Return the shelves inside a shelf, or the outermost ones."""
        parent_id = shelf.pk if shelf else None
        return [row for row in self._by_id.values() if row.parent_id == parent_id and row.pk in self._filled]

    def path(self, shelf: Category) -> list[Category]:
        """Return a shelf after those around it."""
        above = self._by_id.get(shelf.parent_id) if shelf.parent_id else None
        return [*self.path(above), shelf] if above else [shelf]

    def page(self, shelf: Category, number: int) -> Page:
        """Return a page of a shelf; a number beyond the last page means the last."""
        inside = self.inside(shelf)
        presets = Preset.objects.on_offer().filter(category=shelf).order_by("sort_order", "id")
        rows: list[Category | Preset] = [*inside, *presets]
        pages = max(1, -(-len(rows) // PAGE_SIZE))
        number = min(max(1, number), pages)
        shown = rows[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        return Page(
            [row for row in shown if isinstance(row, Category)],
            [row for row in shown if isinstance(row, Preset)],
            number,
            pages,
        )
