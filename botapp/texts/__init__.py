"""What the bot says, in every language: YAML files beside this one, one a subject, languages side by side.

    welcome:
      ru: Привет, {name}!
      en: Hello, {name}!
    points:            # counted: the form that fits `count`
      ru: {one: "{count} балл", few: "{count} балла", many: "{count} баллов"}
      en: {one: "{count} point", many: "{count} points"}

A text's key is `subject.name`. Texts are Telegram's HTML. What is put into them is escaped unless it is a
`SafeText`, so that nobody's name or prompt can break a message. Knows no Telegram and no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from pathlib import Path
from string import Formatter
from typing import Any

from qwenedit.lib import yaml_files

FOLDER = Path(__file__).parent
LANGUAGES = ("ru", "en")
DEFAULT_LANGUAGE = "en"
Forms = Mapping[str, str]


class TextsError(Exception):
    """The files hold mistakes; the message names every one."""


class SafeText(str):
    """Text that is HTML already."""

    __slots__ = ()


class Texts:
    """The texts of one language: `texts("edit.queued", position=3)`."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT_LANGUAGE

    def __call__(self, key: str, **values: Any) -> SafeText:
        """Return a text with `values` put in. Raises KeyError for a key or a value that is missing."""
        text = _texts()[key][self.language]
        if not isinstance(text, str):
            text = text[plural_form(self.language, int(values["count"]))]
        return SafeText(text.format(**{name: _escaped(value) for name, value in values.items()}))

    def has(self, key: str) -> bool:
        """Tell whether there is such a text."""
        return key in _texts()

    def title(self, row: Any) -> str:
        """Return the title of a row that has `title_ru` and `title_en`, with its icon, as plain text."""
        title = row.title_ru if self.language == "ru" else row.title_en
        return f"{row.icon} {title}".strip()


def plural_form(language: str, count: int) -> str:
    """Return which form a number takes: `one`, `few` or `many`. Source: CLDR's cardinal rules."""
    count = abs(count)
    if language != "ru":
        return "one" if count == 1 else "many"
    if count % 10 == 1 and count % 100 != 11:
        return "one"
    return "few" if 2 <= count % 10 <= 4 and not 12 <= count % 100 <= 14 else "many"


def keys() -> list[str]:
    """Return the key of every text."""
    return sorted(_texts())


def placeholders(text: str) -> set[str]:
    """Return the names of what is put into a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@cache
def _texts() -> dict[str, dict[str, str | Forms]]:
    found: dict[str, dict[str, str | Forms]] = {}
    problems: list[str] = []
    for file in sorted(FOLDER.glob("*.yaml")):
        for name, languages in yaml_files.load(file).items():
            key = f"{file.stem}.{name}"
            found[key] = languages
            if not isinstance(name, str):  # YAML reads yes, no, on and off as truth values
                problems.append(f"{key}: the name must stand in quotes")
            problems += [f"{key}: {problem}" for problem in _problems(languages)]
    if problems:
        raise TextsError("\n".join(problems))
    return found


def _problems(languages: object) -> list[str]:
    if not isinstance(languages, Mapping) or set(languages) != set(LANGUAGES):
        return [f"expected exactly the languages {', '.join(LANGUAGES)}"]
    problems = []
    wanted: set[str] | None = None
    for language, text in languages.items():
        forms = text if isinstance(text, Mapping) else {"": text}
        needed = {"one", "few", "many"} if language == "ru" else {"one", "many"}
        if isinstance(text, Mapping) and set(text) != needed:
            problems.append(f"{language}: expected the forms {', '.join(sorted(needed))}")
        for form in forms.values():
            if not isinstance(form, str) or not form.strip():
                problems.append(f"{language}: expected text")
                continue
            names = placeholders(form)
            if wanted is not None and names != wanted:
                problems.append(f"{language}: holds {sorted(names)}, elsewhere {sorted(wanted)}")
            wanted = names
    return problems


def _escaped(value: Any) -> Any:
    return escape(value, quote=False) if isinstance(value, str) and not isinstance(value, SafeText) else value
