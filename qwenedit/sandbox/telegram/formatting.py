"""The text or caption of a call: parse mode or given entities, and the limits of length."""

from typing import Any

from qwenedit.sandbox.telegram.entities import (
    KNOWN_TYPES,
    Entity,
    FormattedText,
    cleaned,
    finished,
    utf16_length,
)
from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.html_mode import link_url, parse_html
from qwenedit.sandbox.telegram.markdown_mode import parse_markdown

LONGEST_TEXT = 4096
LONGEST_CAPTION = 1024
MOST_ENTITIES = 100


def formatted_text(text: str, parse_mode: str, entities: Any) -> FormattedText:
    """Return the text of a message; raise Refusal if it is empty, too long or cannot be read."""
    if not text:
        raise bad_request("message text is empty")
    formatted = _formatted(text, parse_mode, entities)
    if not formatted.text:
        raise bad_request("message text is empty")
    if utf16_length(formatted.text) > LONGEST_TEXT:
        raise bad_request("message is too long")
    return formatted


def formatted_caption(text: str, parse_mode: str, entities: Any) -> FormattedText:
    """Return a caption, which may be empty; raise Refusal if it is too long or cannot be read."""
    formatted = _formatted(text, parse_mode, entities)
    if utf16_length(formatted.text) > LONGEST_CAPTION:
        raise bad_request("message caption is too long")
    return formatted


def _formatted(text: str, parse_mode: str, entities: Any) -> FormattedText:
    source = cleaned(text)
    match parse_mode.lower():
        case "" | "none":
            formatted = FormattedText(source, _given(entities))
        case "html":
            formatted = parse_html(source)
        case "markdownv2":
            formatted = parse_markdown(source)
        case "markdown":
            formatted = parse_markdown(source, legacy=True)
        case _:
            raise bad_request("unsupported parse_mode")
    formatted = finished(formatted)
    formatted.entities = formatted.entities[:MOST_ENTITIES]
    return formatted


def _given(entities: Any) -> list[Entity]:
    if not entities:
        return []
    if not isinstance(entities, list):
        raise bad_request("expected an Array of MessageEntity")
    return [_checked(entity) for entity in entities]


def _checked(entity: Any) -> Entity:
    if not isinstance(entity, dict):
        raise bad_request("can't parse MessageEntity: expected an Object")
    if entity.get("type") not in KNOWN_TYPES:
        raise bad_request("can't parse MessageEntity: Unsupported type specified")
    for name in ("offset", "length"):
        if not isinstance(entity.get(name), int):
            raise bad_request(f"can't parse MessageEntity: Can't find field \"{name}\"")
    if entity["type"] == "text_link":
        url = link_url(str(entity.get("url", "")))
        if not url:
            raise bad_request(f"entity URL '{entity.get('url', '')}' is invalid: Wrong HTTP URL")
        return entity | {"url": url}
    return entity
