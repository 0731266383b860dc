"""Text with entities: lengths in UTF-16 units, trimming, detection, and HTML for the chat page.

Owns: what holds for every text, whether a person typed it or a parse mode made it.
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Entity = dict[str, Any]

DETECTED = (
    ("bot_command", re.compile(r"(?<![\w/@<>&])/[a-zA-Z0-9_]{1,64}(?:@[a-zA-Z0-9_]{3,32})?(?![\w/])")),
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+\.[a-zA-Z]{2,}(?:\.[a-zA-Z]{2,})*")),
    ("url", re.compile(r"(?<![\w@/.])(?:https?://[^\s<>\"]+[^\s<>\".,;:!?)\]]|(?:[a-z0-9-]+\.)+(?:com|org|net|ru|me|io)\b(?:/[^\s<>\"]*[^\s<>\".,;:!?)\]])?)", re.IGNORECASE)),  # noqa: E501
    ("mention", re.compile(r"(?<![\w@])@[a-zA-Z][a-zA-Z0-9_]{3,31}\b")),
    ("hashtag", re.compile(r"(?<![\w#])#(?=\w*[^\W\d_])\w{1,256}")),
)  # fmt: skip
# Inside these nothing is detected.
OPAQUE = frozenset(("code", "pre", "text_link", "text_mention"))
TAGS = {
    "bold": "b", "italic": "i", "underline": "u", "strikethrough": "s", "code": "code", "pre": "pre",
    "blockquote": "blockquote", "expandable_blockquote": "blockquote",
}  # fmt: skip
KNOWN_TYPES = frozenset(
    (
        *TAGS, "spoiler", "text_link", "text_mention", "custom_emoji", "mention", "hashtag", "cashtag",
        "bot_command", "url", "email", "phone_number", "date_time",
    )
)  # fmt: skip
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SAFE_URL = re.compile(r"(?:https?|tg|mailto):", re.IGNORECASE)
BLANKS = " \n\t\u00a0\u200b\u2060\ufeff"


@dataclass
class FormattedText:
    """A text and its entities, offsets in UTF-16 units."""

    text: str = ""
    entities: list[Entity] = field(default_factory=list)


def utf16_length(text: str) -> int:
    """Return the length of a text as Telegram counts it."""
    return len(text) + sum(char > "\uffff" for char in text)


def cleaned(text: str) -> str:
    """Return a text without characters that Telegram drops."""
    return _CONTROLS.sub(" ", text.replace("\r", ""))


def finished(formatted: FormattedText) -> FormattedText:
    """Return a text as it is sent: trimmed, without empty entities, with those that are detected."""
    text = formatted.text
    kept = text.strip(BLANKS)
    lead = utf16_length(text[: len(text) - len(text.lstrip(BLANKS))])
    length = utf16_length(kept)
    entities = []
    for entity in formatted.entities:
        start = max(0, entity["offset"] - lead)
        end = min(length, entity["offset"] - lead + entity["length"])
        if end > start:
            entities.append(entity | {"offset": start, "length": end - start})
    return FormattedText(kept, _sorted([*entities, *_detected(kept, entities)]))


def detected(text: str) -> FormattedText:
    """Return a text that a person typed."""
    return finished(FormattedText(cleaned(text)))


def rendered(text: str, entities: Iterable[Entity]) -> str:
    """Return a text as safe HTML."""
    units = text.encode("utf-16-le")
    opened: dict[int, list[Entity]] = {}
    bounds = {0, len(units) // 2}
    for entity in _sorted(entities):
        opened.setdefault(entity["offset"], []).append(entity)
        bounds |= {entity["offset"], entity["offset"] + entity["length"]}
    points = sorted(bounds)
    parts: list[str] = []
    stack: list[tuple[int, str]] = []
    for here, following in zip(points, [*points[1:], points[-1]], strict=True):
        while stack and stack[-1][0] <= here:
            parts.append(stack.pop()[1])
        for entity in opened.get(here, []):
            opening, closing = _tags(entity, text_of(text, entity))
            end = entity["offset"] + entity["length"]
            # An overlap that is no nesting cannot be shown by tags: it ends with what it began in.
            stack.append((min(end, stack[-1][0]) if stack else end, closing))
            parts.append(opening)
        piece = units[here * 2 : following * 2].decode("utf-16-le", errors="replace")
        parts.append(html.escape(piece).replace("\n", "<br>"))
    parts += [closing for _, closing in reversed(stack)]
    return "".join(parts)


def text_of(text: str, entity: Entity) -> str:
    """Return the part of a text that an entity covers."""
    units = text.encode("utf-16-le")
    start = entity["offset"] * 2
    return units[start : start + entity["length"] * 2].decode("utf-16-le", errors="replace")


def _detected(text: str, given: Iterable[Entity]) -> Iterator[Entity]:
    taken = [(item["offset"], item["offset"] + item["length"]) for item in given if item["type"] in OPAQUE]
    if not any(mark in text for mark in "/@#."):
        return
    offset = _offsets(text)
    for kind, pattern in DETECTED:
        for match in pattern.finditer(text):
            start, end = offset(match.start()), offset(match.end())
            if any(start < other_end and other_start < end for other_start, other_end in taken):
                continue
            taken.append((start, end))
            yield {"type": kind, "offset": start, "length": end - start}


def _offsets(text: str) -> Callable[[int], int]:
    if text.isascii():
        return lambda position: position
    return lambda position: utf16_length(text[:position])


def _sorted(entities: Iterable[Entity]) -> list[Entity]:
    return sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def _tags(entity: Entity, covered: str) -> tuple[str, str]:
    kind = entity["type"]
    if kind == "spoiler":
        return '<span class="tg-spoiler">', "</span>"
    address = {
        "text_link": entity.get("url", ""),
        "url": covered if "://" in covered else f"http://{covered}",
        "email": f"mailto:{covered}",
        "text_mention": f"tg://user?id={entity.get('user', {}).get('id', '')}",
    }.get(kind)
    if address is not None and _SAFE_URL.match(address):
        return f'<a href="{html.escape(address)}" target="_blank" rel="noopener">', "</a>"
    if kind in TAGS:
        return f"<{TAGS[kind]}>", f"</{TAGS[kind]}>"
    return f'<span class="{html.escape(kind)}">', "</span>"
