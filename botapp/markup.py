"""Telegram's HTML: what is wrong with a text that somebody wrote, said before Telegram refuses to send it.

Stricter than Telegram, which forgives some mistakes by showing them. Knows no rows and no network.
Source: https://core.telegram.org/bots/api#html-style
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

LONGEST_MESSAGE = 4096
ATTRIBUTES = {
    "b": "",
    "i": "",
    "u": "",
    "s": "",
    "code": "",
    "pre": "",
    "a": r' href="(?:https?://|tg://|mailto:)[^"<>\s]+"',
    "blockquote": "(?: expandable)?",
}
BARE = frozenset({"code", "pre"})  # hold no other tags
NOT_NESTED = frozenset({"a", "blockquote"})
TAG = re.compile(r"<(?P<end>/?)(?P<name>[^\s<>/]*)(?P<rest>[^<>]*)>")
UNKNOWN = re.compile(r"&(?!(?:lt|gt|amp|quot|#\d{1,7}|#x[0-9a-fA-F]{1,6});)#?\w+;")


def problems(source: str) -> list[str]:
    """Return what is wrong with a text in Telegram's HTML; nothing where it can be sent."""
    found = list(_misused_tags(source))
    text = TAG.sub("", source)
    if "<" in text:
        found.append("a lone < must be written as &lt;")
    found += [f"{mark[0]} is nothing Telegram knows" for mark in UNKNOWN.finditer(text)]
    if visible_length(source) > LONGEST_MESSAGE:
        found.append(f"{visible_length(source)} characters are seen, at most {LONGEST_MESSAGE} fit a message")
    return found


def visible_length(source: str) -> int:
    """Return the length of what is seen of an HTML text, as Telegram counts it: in UTF-16 units."""
    return len(unescape(TAG.sub("", source)).encode("utf-16-le")) // 2


def _misused_tags(source: str) -> Iterator[str]:
    around: list[str] = []
    for tag in TAG.finditer(source):
        name = tag["name"]
        if name not in ATTRIBUTES:
            yield f"{tag[0]} is none of the tags {', '.join(ATTRIBUTES)}"
        elif tag["end"]:
            if not around or around[-1] != name or tag["rest"]:
                yield f"{tag[0]} does not close what was opened last"
                return  # whatever follows would be complained of for this one's sake
            around.pop()
        else:
            if not re.fullmatch(ATTRIBUTES[name], tag["rest"]):
                yield f"{tag[0]} has no or wrong attributes"
            if BARE.intersection(around) or (name in NOT_NESTED and name in around):
                yield f"{tag[0]} can not stand inside <{around[-1]}>"
            around.append(name)
    yield from (f"<{name}> is not closed" for name in around)
