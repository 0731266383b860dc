"""The parse modes MarkdownV2 and Markdown (the legacy one), without their darkest corners.

Owns: the marks of both modes, and Telegram's complaints about them.
"""

import re
from dataclasses import dataclass

from qwenedit.sandbox.telegram.entities import Entity, FormattedText, utf16_length
from qwenedit.sandbox.telegram.html_mode import complaint, link_entity

RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
MARKS = (
    ("||", "spoiler"), ("__", "underline"), ("*", "bold"), ("_", "italic"), ("~", "strikethrough"),
)  # fmt: skip
LEGACY_MARKS = (("*", "bold"), ("_", "italic"))
LINK = "text_link"
NAMES = {
    "bold": "Bold", "italic": "Italic", "underline": "Underline", "strikethrough": "Strikethrough",
    "spoiler": "Spoiler", "code": "Code", "pre": "Pre", LINK: "TextUrl",
}  # fmt: skip
_CODE = re.compile(r"`((?:\\.|[^`\\])*)`", re.DOTALL)
_PRE = re.compile(r"```((?:\\.|(?!```)[^\\])*)```", re.DOTALL)
_LANGUAGE = re.compile(r"([^\s`]+)\n")
_EMOJI = re.compile(r"tg://emoji\?id=(\d+)")


@dataclass
class _Open:
    kind: str
    offset: int
    begin: int
    is_emoji: bool = False


def parse_markdown(source: str, *, legacy: bool = False) -> FormattedText:
    """Return the text and entities of a Markdown message; raise Refusal as Telegram does."""
    return _Parser(source, legacy).parse()


class _Parser:
    def __init__(self, source: str, legacy: bool) -> None:  # noqa: FBT001 - chosen in one place
        self._source = source
        self._legacy = legacy
        self._at = 0
        self._parts: list[str] = []
        self._length = 0
        self._open: list[_Open] = []
        self._entities: list[Entity] = []
        self._quote: int | None = None

    def parse(self) -> FormattedText:
        while self._at < len(self._source):
            self._step(self._source[self._at])
        self._end_quote()
        if self._open:
            raise self._no_end(self._open[-1])
        return FormattedText("".join(self._parts), self._entities)

    def _step(self, char: str) -> None:
        following = self._source[self._at + 1 : self._at + 2]
        if char == "\\" and following and (following in RESERVED or following == "\\"):
            self._append(following, 2)
        elif char == "`":
            self._code()
        elif char == "]" and self._open and self._open[-1].kind == LINK:
            self._end_link()
        elif char == "[" or (not self._legacy and self._source.startswith("![", self._at)):
            self._open.append(_Open(LINK, self._length, self._at, is_emoji=char == "!"))
            self._at += 2 if char == "!" else 1
        elif not self._legacy and char == ">" and self._source[self._at - 1 : self._at] in ("", "\n"):
            self._quote = self._length if self._quote is None else self._quote
            self._at += 1
        elif self._mark():
            return
        elif not self._legacy and char in RESERVED:
            raise complaint(f"Character '{char}' is reserved and must be escaped with the preceding '\\'")
        else:
            if char == "\n" and following != ">":
                self._end_quote()
            self._append(char, 1)

    def _mark(self) -> bool:
        for mark, kind in LEGACY_MARKS if self._legacy else MARKS:
            if not self._source.startswith(mark, self._at):
                continue
            if self._open and self._open[-1].kind == kind:
                self._close(self._open.pop())
            elif self._legacy and self._open:
                return False
            else:
                self._open.append(_Open(kind, self._length, self._at))
            self._at += len(mark)
            return True
        return False

    def _code(self) -> None:
        fence = "```" if self._source.startswith("```", self._at) else "`"
        opened = _Open("pre" if fence == "```" else "code", self._length, self._at)
        found = (_PRE if fence == "```" else _CODE).match(self._source, self._at)
        if found is None:
            raise self._no_end(opened)
        body = found[1]
        language = _LANGUAGE.match(body) if fence == "```" else None
        if language:
            body = body[language.end() :]
        self._append(re.sub(r"\\([\\`])", r"\1", body), 0)
        self._at = found.end()
        self._close(opened, {"language": language[1]} if language else None)

    def _end_link(self) -> None:
        opened = self._open.pop()
        self._at += 1
        if not self._source.startswith("(", self._at):
            return
        end = self._source.find(")", self._at)
        if end < 0:
            raise complaint(f"Can't find end of a URL at byte offset {self._byte(self._at)}")
        address = re.sub(r"\\(.)", r"\1", self._source[self._at + 1 : end])
        self._at = end + 1
        place: Entity = {"offset": opened.offset, "length": self._length - opened.offset}
        emoji = _EMOJI.fullmatch(address)
        if opened.is_emoji and not emoji:
            raise complaint("Custom emoji URL must have an emoji identifier")
        entity = (
            {"type": "custom_emoji", **place, "custom_emoji_id": emoji[1]}
            if opened.is_emoji and emoji
            else link_entity(address, place)
        )
        if entity is not None and place["length"]:
            self._entities.append(entity)

    def _close(self, opened: _Open, more: Entity | None = None) -> None:
        if length := self._length - opened.offset:
            self._entities.append(
                {"type": opened.kind, "offset": opened.offset, "length": length, **(more or {})}
            )

    def _end_quote(self) -> None:
        if self._quote is not None:
            self._close(_Open("blockquote", self._quote, 0))
            self._quote = None

    def _append(self, text: str, step: int) -> None:
        self._parts.append(text)
        self._length += utf16_length(text)
        self._at += step

    def _no_end(self, opened: _Open) -> Exception:
        name = NAMES[opened.kind]
        where = self._byte(opened.begin)
        if self._legacy:
            return complaint(f"Can't find end of the entity starting at byte offset {where}")
        return complaint(f"Can't find end of {name} entity at byte offset {where}")

    def _byte(self, position: int) -> int:
        return len(self._source[:position].encode())
