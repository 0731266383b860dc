"""The preset catalogue as data: reads `presets/*.yaml`, checks all of it, and hands over plain values.

One file holds one top-level category and the tree below it:

    slug: styles
    order: 1                                # among the top-level categories
    title: {ru: Художественные стили, en: Art styles}
    icon: 🎨
    children:                               # categories of the same form, without `order`
      - slug: painters
        ...
        presets:
          - slug: van-gogh
            title: {ru: Ван Гог, en: Van Gogh}
            icon: 🌻
            photos: 1                       # pictures the prompt works on, 1 if left out
            photo_titles:                   # what each picture shows; needed where there are several
              - {ru: Человек, en: The person}
            price: 30                       # points; left out, the default price of an edit applies
            prompt: >-
              Repaint the photo as ...

Children and presets are shown in the order of the file. Nothing here knows Django, the database or the menu
that shows the catalogue.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from qwenedit.errors import DomainError
from qwenedit.lib import yaml_files

PRESETS_FOLDER = Path(__file__).parent / "presets"

MAX_SLUG_LENGTH = 40  # a slug travels in Telegram's callback data, 64 bytes with its prefix
MAX_TITLE_LENGTH = 40
MAX_ICON_LENGTH = 16  # code points: the longest joined emoji in use take about ten
MIN_PROMPT_LENGTH = 60
MAX_PROMPT_LENGTH = 500
MAX_PHOTOS = 3  # Qwen-Image-Edit takes up to three reference pictures

_CATEGORY_FIELDS = frozenset({"slug", "title", "icon", "children", "presets"})
_ROOT_FIELDS = _CATEGORY_FIELDS | {"order"}
_PRESET_FIELDS = frozenset({"slug", "title", "icon", "photos", "photo_titles", "price", "prompt"})

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CYRILLIC = re.compile(r"[\u0400-\u04ff]")
_PICTOGRAPH = r"[\u2139\u2190-\u2bff\u3030\u303d\U0001f300-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?"
_EMOJI = re.compile(rf"{_PICTOGRAPH}(?:\u200d{_PICTOGRAPH})*")  # joined pictographs draw as one


@dataclass(frozen=True, slots=True)
class CategoryData:
    """One node of the category tree; `parent` is the slug of the category above, None at the top."""

    slug: str
    parent: str | None
    title_ru: str
    title_en: str
    icon: str
    sort_order: int


@dataclass(frozen=True, slots=True)
class PresetData:
    """One preset: `photos` pictures (1-3) go in, `price` is in points, None stands for the default price.

    `photo_titles` says what each picture shows, as `{"ru": …, "en": …}`; it may be empty where there is one.
    """

    slug: str
    category: str
    title_ru: str
    title_en: str
    icon: str
    prompt: str
    photos: int
    photo_titles: tuple[dict[str, str], ...]
    price: int | None
    sort_order: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All categories, each after its parent, and all presets, both in the order of the menu."""

    categories: tuple[CategoryData, ...]
    presets: tuple[PresetData, ...]


class CatalogueError(DomainError):
    """The files hold mistakes; `problems` lists every one as `file: slug: what is wrong`."""

    code: ClassVar[str] = "invalid_catalogue"

    def __init__(self, problems: Sequence[str]) -> None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"The preset catalogue cannot be used:{lines}", problems=list(problems))
        self.problems = tuple(problems)


def read_catalogue(folder: Path = PRESETS_FOLDER) -> Catalogue:
    """Read and check every `*.yaml` file of the folder.

    Raises CatalogueError with all the problems of all the files at once.
    """
    return _CatalogueReader().read(folder)


class _Entry:
    """One category or preset as written in a file, with readers that note what is wrong.

    After a problem a reader returns an empty value of its type; it never leaves this module,
    because the first problem already decides that the reading ends with CatalogueError.
    """

    def __init__(self, node: object, *, file: str, place: str, problems: list[str]) -> None:
        self.file = file
        self.fields: Mapping[Any, Any] = node if isinstance(node, Mapping) else {}
        slug = self.fields.get("slug")
        self.name = f"{file}: {slug if isinstance(slug, str) and slug else place}"
        self.place = f"{place} ({file})"
        self._problems = problems
        self.is_mapping = isinstance(node, Mapping)
        if not self.is_mapping:
            self.complain("expected a mapping of fields")

    def complain(self, problem: str) -> None:
        self._problems.append(f"{self.name}: {problem}")

    def refuse_unknown_fields(self, known: frozenset[str]) -> None:
        for key in self.fields:
            if key not in known:
                self.complain(f"unknown field {key!r}")

    def slug(self) -> str:
        slug = self._text(self.fields, "slug", max_length=MAX_SLUG_LENGTH)
        if slug and not _SLUG.fullmatch(slug):
            self.complain("slug: expected lower-case ASCII letters, digits and single hyphens")
        return slug

    def titles(self) -> tuple[str, str]:
        return self._titles(self.fields.get("title"), "title")

    def photo_titles(self, photos: int) -> tuple[dict[str, str], ...]:
        titles = self.nested("photo_titles")
        if len(titles) != photos and (titles or photos > 1):
            self.complain(f"photo_titles: {len(titles)} given, expected one for each of {photos} photos")
            return ()
        pairs = [self._titles(title, f"photo_titles[{place}]") for place, title in enumerate(titles, start=1)]
        return tuple({"ru": russian, "en": english} for russian, english in pairs)

    def icon(self) -> str:
        icon = self._text(self.fields, "icon", max_length=MAX_ICON_LENGTH)
        if icon and not _EMOJI.fullmatch(icon):
            self.complain("icon: expected one emoji")
        return icon

    def prompt(self, photos: int) -> str:
        prompt = self._text(self.fields, "prompt", min_length=MIN_PROMPT_LENGTH, max_length=MAX_PROMPT_LENGTH)
        if _CYRILLIC.search(prompt):
            self.complain("prompt: expected English, found Cyrillic letters")
        if prompt and not prompt.endswith("."):
            self.complain("prompt: expected a full stop at the end")
        if photos > 1:  # the model knows several pictures only by these names
            for number in range(1, photos + 1):
                if prompt and f"picture {number}" not in prompt.lower():
                    self.complain(
                        f"prompt: never mentions 'picture {number}', though the preset takes {photos} photos"
                    )
        return prompt

    def integer(self, key: str, *, default: int | None, maximum: int | None = None) -> int | None:
        """Return a whole number from 1 to `maximum`, or `default` when the field is left out."""
        if key not in self.fields:
            return default
        value = self.fields[key]
        if type(value) is not int or value < 1 or (maximum is not None and value > maximum):
            limits = "from 1" if maximum is None else f"from 1 to {maximum}"
            self.complain(f"{key}: expected a whole number {limits}, found {value!r}")
            return default
        return value

    def nested(self, key: str) -> list[Any]:
        value = self.fields.get(key, [])
        if not isinstance(value, list):
            self.complain(f"{key}: expected a list")
            return []
        return value

    def _titles(self, title: object, label: str) -> tuple[str, str]:
        if not isinstance(title, Mapping) or set(title) != {"ru", "en"}:
            self.complain(f"{label}: expected exactly the languages ru and en")
            return "", ""
        russian = self._text(title, "ru", max_length=MAX_TITLE_LENGTH, label=f"{label}.ru")
        english = self._text(title, "en", max_length=MAX_TITLE_LENGTH, label=f"{label}.en")
        if russian and not _CYRILLIC.search(russian):
            self.complain(f"{label}.ru: has no Cyrillic letter")
        if _CYRILLIC.search(english):
            self.complain(f"{label}.en: has Cyrillic letters")
        return russian, english

    def _text(
        self,
        fields: Mapping[Any, Any],
        key: str,
        *,
        min_length: int = 1,
        max_length: int | None = None,
        label: str | None = None,
    ) -> str:
        label = label or key
        value = fields.get(key)
        if not isinstance(value, str) or not value.strip():
            self.complain(f"{label}: expected text" if key in fields else f"{label}: is missing")
            return ""
        if value != " ".join(value.split()):
            self.complain(f"{label}: has line breaks or spare spaces")
        if len(value) < min_length:
            self.complain(f"{label}: {len(value)} characters, at least {min_length} are needed")
        if max_length is not None and len(value) > max_length:
            self.complain(f"{label}: {len(value)} characters, at most {max_length} fit")
        return value


class _CatalogueReader:
    """Walks the files and keeps what must be unique across them."""

    def __init__(self) -> None:
        self._problems: list[str] = []
        self._categories: list[CategoryData] = []
        self._presets: list[PresetData] = []
        self._first_use: dict[tuple[str, object], str] = {}

    def read(self, folder: Path) -> Catalogue:
        files = sorted(folder.glob("*.yaml"))
        if not files:
            raise CatalogueError([f"{folder}: no YAML files here"])
        roots = [loaded for file in files if (loaded := self._load(file)) is not None]
        for order, root in sorted(roots, key=lambda pair: pair[0]):
            self._require_unique("order", order, root)
            root.refuse_unknown_fields(_ROOT_FIELDS)
            self._read_category(root, parent=None, sort_order=order)
        if self._problems:
            raise CatalogueError(self._problems)
        return Catalogue(categories=tuple(self._categories), presets=tuple(self._presets))

    def _load(self, file: Path) -> tuple[int, _Entry] | None:
        try:
            node = yaml_files.load(file)
        except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, or an impossible date
            self._problems.append(f"{file.name}: {' '.join(str(error).split())}")
            return None
        root = _Entry(node, file=file.name, place="top level", problems=self._problems)
        if not root.is_mapping:
            return None
        if "order" not in root.fields:
            root.complain("order: is missing")
        return root.integer("order", default=None) or 0, root

    def _read_category(self, entry: _Entry, *, parent: str | None, sort_order: int) -> None:
        slug = entry.slug()
        self._require_unique("slug", slug, entry)
        russian, english = entry.titles()
        self._require_distinct_titles(parent, russian, english, entry)
        self._categories.append(CategoryData(slug, parent, russian, english, entry.icon(), sort_order))
        for position, node in enumerate(entry.nested("children"), start=1):
            child = self._entry(node, entry, f"child {position} of {slug}")
            child.refuse_unknown_fields(_CATEGORY_FIELDS)
            if child.is_mapping:
                self._read_category(child, parent=slug, sort_order=position)
        for position, node in enumerate(entry.nested("presets"), start=1):
            preset = self._entry(node, entry, f"preset {position} of {slug}")
            preset.refuse_unknown_fields(_PRESET_FIELDS)
            if preset.is_mapping:
                self._read_preset(preset, category=slug, sort_order=position)

    def _read_preset(self, entry: _Entry, *, category: str, sort_order: int) -> None:
        slug = entry.slug()
        self._require_unique("slug", slug, entry)
        russian, english = entry.titles()
        self._require_distinct_titles(category, russian, english, entry)
        photos = entry.integer("photos", default=1, maximum=MAX_PHOTOS) or 1
        prompt = entry.prompt(photos)
        self._require_unique("prompt", prompt.casefold(), entry)
        self._presets.append(
            PresetData(
                slug=slug,
                category=category,
                title_ru=russian,
                title_en=english,
                icon=entry.icon(),
                prompt=prompt,
                photos=photos,
                photo_titles=entry.photo_titles(photos),
                price=entry.integer("price", default=None),
                sort_order=sort_order,
            )
        )

    def _entry(self, node: object, above: _Entry, place: str) -> _Entry:
        return _Entry(node, file=above.file, place=place, problems=self._problems)

    def _require_distinct_titles(self, parent: str | None, russian: str, english: str, entry: _Entry) -> None:
        """Note two buttons of one menu that read alike."""
        self._require_unique(f"title.ru in {parent or 'the main menu'}", russian.casefold(), entry)
        self._require_unique(f"title.en in {parent or 'the main menu'}", english.casefold(), entry)

    def _require_unique(self, what: str, value: object, entry: _Entry) -> None:
        if not value:  # missing, and already reported as such
            return
        first_place = self._first_use.get((what, value))
        if first_place is None:
            self._first_use[what, value] = entry.place
        else:
            entry.complain(f"{what}: the same as in {first_place}")
