"""The knowledge base as data: reads `articles/*.yaml`, checks all of it, and brings it into the database.

One file holds one article:

    slug: light
    order: 3                                # among the articles
    icon: 💡
    title: {ru: Свет, en: Light}
    body:                                   # Telegram's HTML; its line breaks are the message's
      ru: |
        Свет меняет <b>настроение</b> …
      en: |
        Light changes the <b>mood</b> …

A row that staff edited in the admin is theirs: `is_customised` keeps the files' hands off it. An article that
left the files is hidden. Knows nothing of the chat that shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml
from django.db import transaction

from botapp import markup
from botapp.models import Article
from qwenedit.errors import DomainError
from qwenedit.lib import yaml_files

ARTICLES_FOLDER = Path(__file__).parent / "articles"

LONGEST_SLUG = 40
LONGEST_TITLE = 60
LONGEST_ICON = 16
LONGEST_BODY = 3500
FIELDS = frozenset({"slug", "order", "icon", "title", "body"})
SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
CYRILLIC = re.compile(r"[\u0400-\u04ff]")


class KnowledgeError(DomainError):
    """The files hold mistakes; `problems` lists every one as `file: what is wrong`."""

    code: ClassVar[str] = "invalid_articles"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), problems=list(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class ArticleData:
    """An article as its file has it; the fields are those of the row."""

    slug: str
    sort_order: int
    icon: str
    title_ru: str
    title_en: str
    body_ru: str
    body_en: str


@dataclass
class Changes:
    """How many rows a synchronisation touched."""

    created: int = 0
    updated: int = 0
    retired: int = 0


def read_articles(folder: Path = ARTICLES_FOLDER) -> list[ArticleData]:
    """Read and check every `*.yaml` file of the folder; return the articles in their order.

    Raises KnowledgeError with all the problems of all the files at once.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise KnowledgeError([f"{folder}: no YAML files here"])
    problems: list[str] = []
    entries: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            node = yaml_files.load(file)
        except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: not UTF-8, or an impossible date
            problems.append(f"{file.name}: {' '.join(str(error).split())}")
            continue
        mistakes = list(_problems(node))
        problems += [f"{file.name}: {mistake}" for mistake in mistakes]
        if not mistakes:
            entries[file.name] = node
    for name in ("slug", "order"):
        problems += _repeated(name, entries)
    if problems:
        raise KnowledgeError(problems)
    return sorted(map(_article, entries.values()), key=lambda article: article.sort_order)


@transaction.atomic
def sync_articles(articles: Sequence[ArticleData]) -> Changes:
    """Create, update and hide rows so that they say what the files say."""
    changes = Changes()
    rows: dict[str, Article] = {row.slug: row for row in Article.objects.all()}
    for data in articles:
        row = rows.pop(data.slug, None)
        fields = asdict(data) | {"is_active": True}
        if row is None:
            Article.objects.create(**fields)
            changes.created += 1
        elif not row.is_customised and any(getattr(row, name) != value for name, value in fields.items()):
            Article.objects.filter(pk=row.pk).update(**fields)
            changes.updated += 1
    left = [row.pk for row in rows.values() if row.is_active and not row.is_customised]
    changes.retired = Article.objects.filter(pk__in=left).update(is_active=False)
    return changes


def _article(entry: Mapping[str, Any]) -> ArticleData:
    title, body = entry["title"], entry["body"]
    return ArticleData(
        slug=entry["slug"],
        sort_order=entry["order"],
        icon=entry["icon"],
        title_ru=title["ru"],
        title_en=title["en"],
        body_ru=body["ru"].strip(),
        body_en=body["en"].strip(),
    )


def _problems(entry: object) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield "expected a mapping of fields"
        return
    yield from (f"unknown field {name!r}" for name in entry if name not in FIELDS)
    yield from _text_problems("slug", entry.get("slug"), LONGEST_SLUG)
    if isinstance(slug := entry.get("slug"), str) and not SLUG.fullmatch(slug):
        yield "slug: expected lower-case ASCII letters, digits and single hyphens"
    if type(order := entry.get("order")) is not int or order < 1:
        yield f"order: expected a whole number from 1, found {order!r}"
    yield from _text_problems("icon", entry.get("icon"), LONGEST_ICON)
    for name, longest in (("title", LONGEST_TITLE), ("body", LONGEST_BODY)):
        languages = entry.get(name)
        if not isinstance(languages, Mapping) or set(languages) != {"ru", "en"}:
            yield f"{name}: expected exactly the languages ru and en"
            continue
        for language, text in languages.items():
            yield from _text_problems(f"{name}.{language}", text, longest)
            if isinstance(text, str) and bool(CYRILLIC.search(text)) != (language == "ru"):
                yield f"{name}.{language}: is in the other language"
            if isinstance(text, str) and name == "body":
                yield from (f"body.{language}: {problem}" for problem in markup.problems(text))


def _text_problems(name: str, text: object, longest: int) -> Iterator[str]:
    if not isinstance(text, str) or not text.strip():
        yield f"{name}: expected text"
    elif len(text) > longest:
        yield f"{name}: {len(text)} characters, at most {longest} fit"


def _repeated(name: str, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    first: dict[object, str] = {}
    for file, entry in entries.items():
        if first.setdefault(entry[name], file) != file:
            yield f"{file}: {name}: the same as in {first[entry[name]]}"
