"""The parse mode HTML, with Telegram's tags and Telegram's complaints."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qwenedit.sandbox.telegram.entities import Entity, FormattedText, utf16_length
from qwenedit.sandbox.telegram.errors import Refusal, bad_request

TYPES = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
    "code": "code", "pre": "pre", "blockquote": "blockquote",
}  # fmt: skip
ALLOWED = frozenset((*TYPES, "a", "span", "tg-emoji"))
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
LANGUAGE = "language-"
MENTION = re.compile(r"tg://user/?\?id=(\d+)")
_HTTP_URL = re.compile(r"https?://(?:[^/?#\s@]*@)?([^/?#\s:]+)(?::\d{1,5})?([/?#]\S*)?", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#(\d{1,8}|[xX][0-9a-fA-F]{1,7})|(lt|gt|amp|quot));?")
_TOKEN = re.compile(r"[a-zA-Z0-9.\-]+")
_NAME = re.compile(r"[^\s>=]*")
_TAG = re.compile(r"[^\s>]*")
_SPACE = re.compile(r"\s*")


@dataclass
class _Open:
    tag: str
    offset: int
    attributes: dict[str, str] = field(default_factory=dict)


def parse_html(source: str) -> FormattedText:
    """Return the text and entities of an HTML message; raise Refusal as Telegram does."""
    return _Parser(source).parse()


def complaint(text: str) -> Refusal:
    """Return the refusal of a text that a parse mode cannot read."""
    return bad_request(f"can't parse entities: {text}")


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._parts: list[str] = []
        self._length = 0
        self._open: list[_Open] = []
        self._entities: list[Entity] = []

    def parse(self) -> FormattedText:
        source = self._source
        while self._at < len(source):
            stop = self._next_mark()
            self._append(html_text(source[self._at : stop]))
            self._at = stop
            if stop == len(source):
                break
            if source.startswith("/", stop + 1):
                self._end_tag()
            else:
                self._start_tag()
        if self._open:
            raise complaint(f'Can\'t find end tag corresponding to start tag "{self._open[-1].tag}"')
        return FormattedText("".join(self._parts), self._entities)

    def _next_mark(self) -> int:
        found = self._source.find("<", self._at)
        return len(self._source) if found < 0 else found

    def _append(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self._length += utf16_length(text)

    def _start_tag(self) -> None:
        begin = self._at
        self._at += 1
        tag = self._take(_TAG).lower()
        if self._at >= len(self._source):
            raise complaint(f"Unclosed start tag at byte offset {self._byte(begin)}")
        if tag not in ALLOWED:
            raise complaint(f'Unsupported start tag "{tag}" at byte offset {self._byte(begin)}')
        opened = _Open(tag, self._length, self._attributes(tag, begin))
        if tag == "span" and opened.attributes.get("class") != "tg-spoiler":
            raise complaint(f'Tag "span" must have class "tg-spoiler" at byte offset {self._byte(begin)}')
        if tag == "tg-emoji" and not opened.attributes.get("emoji-id"):
            raise complaint('Custom emoji entity must contain "emoji-id" attribute')
        self._open.append(opened)

    def _attributes(self, tag: str, begin: int) -> dict[str, str]:
        found: dict[str, str] = {}
        while True:
            self._take(_SPACE)
            if self._peek() == ">":
                self._at += 1
                return found
            if not self._peek():
                raise complaint(f"Unclosed start tag at byte offset {self._byte(begin)}")
            start = self._at
            name = self._take(_NAME).lower()
            if not name:
                raise complaint(f'Empty attribute name in the tag "{tag}" at byte offset {self._byte(start)}')
            self._take(_SPACE)
            if self._peek() == "=":
                self._at += 1
                self._take(_SPACE)
                found[name] = self._value(begin)
            elif (tag, name) == ("blockquote", "expandable"):
                found[name] = ""
            else:
                raise complaint(
                    f'Expected equal sign in declaration of an attribute of the tag "{tag}" '
                    f"at byte offset {self._byte(begin)}"
                )

    def _value(self, begin: int) -> str:
        quote = self._peek()
        if quote not in ("'", '"') or not quote:
            start = self._at
            value = self._take(_TOKEN)
            if not value:
                raise complaint(f"Unexpected end of name token at byte offset {self._byte(start)}")
            return value.lower()
        close = self._source.find(quote, self._at + 1)
        if close < 0:
            raise complaint(f"Unclosed start tag at byte offset {self._byte(begin)}")
        value = self._source[self._at + 1 : close]
        self._at = close + 1
        return html_text(value)

    def _end_tag(self) -> None:
        begin = self._at
        if not self._open:
            raise complaint(f"Unexpected end tag at byte offset {self._byte(begin)}")
        self._at += 2
        tag = self._take(_TAG).lower()
        self._take(_SPACE)
        if self._peek() != ">":
            raise complaint(f"Unclosed end tag at byte offset {self._byte(begin)}")
        self._at += 1
        opened = self._open.pop()
        if tag not in ("", opened.tag):
            raise complaint(
                f"Unmatched end tag at byte offset {self._byte(begin)}, "
                f'expected "</{opened.tag}>", found "</{tag}>"'
            )
        if self._length > opened.offset:
            self._close(opened)

    def _close(self, opened: _Open) -> None:
        place: Entity = {"offset": opened.offset, "length": self._length - opened.offset}
        entity = self._entity(opened, place)
        if opened.tag == "pre" and self._entities and self._entities[-1] == {"type": "code", **place}:
            # <pre><code class="language-…"> is one entity.
            self._entities.pop()
            entity = {"type": "pre", **place, **_only(opened.attributes, "language")}
        if entity is not None:
            self._entities.append(entity)

    def _entity(self, opened: _Open, place: Entity) -> Entity | None:
        attributes = opened.attributes
        match opened.tag:
            case "a":
                return self._link(attributes.get("href", ""), place)
            case "span":
                return {"type": "spoiler", **place}
            case "tg-emoji":
                return {"type": "custom_emoji", **place, "custom_emoji_id": attributes["emoji-id"]}
            case "blockquote" if "expandable" in attributes:
                return {"type": "expandable_blockquote", **place}
            case "code" if self._open and self._open[-1].tag == "pre":
                if attributes.get("class", "").startswith(LANGUAGE):
                    self._open[-1].attributes["language"] = attributes["class"].removeprefix(LANGUAGE)
                return {"type": "code", **place}
            case tag:
                return {"type": TYPES[tag], **place}

    def _link(self, address: str, place: Entity) -> Entity | None:
        address = address or self._since(place["offset"])
        return link_entity(address, place)

    def _since(self, offset: int) -> str:
        units = "".join(self._parts).encode("utf-16-le")
        return units[offset * 2 :].decode("utf-16-le", errors="replace")

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._source, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _byte(self, position: int) -> int:
        return len(self._source[:position].encode())


def html_text(source: str) -> str:
    """Return a piece of text with the character references that Telegram knows replaced."""
    return _ENTITY.sub(_character, source) if "&" in source else source


def link_entity(address: str, place: Entity) -> Entity | None:
    """Return the entity of a link, None if it leads nowhere: Telegram drops such links silently."""
    if mention := MENTION.fullmatch(address):
        return {"type": "text_mention", **place, "user": {"id": int(mention[1])}}
    url = link_url(address)
    return {"type": "text_link", **place, "url": url} if url else None


def link_url(address: str) -> str:
    """Return an address as Telegram writes it, empty if it accepts none such."""
    if re.match(r"(?:tg|ton|tonsite|mailto):", address, re.IGNORECASE):
        return address
    if not re.match(r"[a-z][a-z0-9+.-]*://", address, re.IGNORECASE):
        address = f"http://{address}"
    found = _HTTP_URL.fullmatch(address)
    if found is None or "." not in found[1].strip("."):
        return ""
    return address if found[2] else f"{address}/"


def _character(match: re.Match[str]) -> str:
    number, name = match[1], match[2]
    if name:
        return NAMED[name]
    code = int(number[1:], 16) if number[0] in "xX" else int(number)
    if code == 0 or code >= 0x10FFFF or 0xD800 <= code < 0xE000:
        return match[0]
    return chr(code)


def _only(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}
