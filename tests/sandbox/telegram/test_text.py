"""Parse modes, detected entities, and HTML for the page; without a server."""

import pytest

from qwenedit.sandbox.telegram.entities import Entity, detected, rendered
from qwenedit.sandbox.telegram.errors import Refusal
from qwenedit.sandbox.telegram.formatting import formatted_text


def parsed(text: str, parse_mode: str = "HTML") -> tuple[str, list[tuple]]:
    """Return a text and its entities as (type, offset, length, more…)."""
    formatted = formatted_text(text, parse_mode, None)
    return formatted.text, [_short(entity) for entity in formatted.entities]


def _short(entity: Entity) -> tuple:
    more = [value for name, value in entity.items() if name not in ("type", "offset", "length")]
    return (entity["type"], entity["offset"], entity["length"], *more)


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("<b>bold</b> <strong>x</strong>", "bold x", [("bold", 0, 4), ("bold", 5, 1)]),
        ("<i><u>x</u></i>", "x", [("underline", 0, 1), ("italic", 0, 1)]),
        ("<s>a</s><del>b</del><strike>c</strike>", "abc", [("strikethrough", n, 1) for n in range(3)]),
        ("a &lt;b&gt; &amp; &quot;&#33;&#x21; &nbsp;", 'a <b> & "!! &nbsp;', []),
        ("🎨 <code>x</code>", "🎨 x", [("code", 3, 1)]),
        ('<a href="https://example.com/?a=1&amp;b=2">x</a>', "x",
         [("text_link", 0, 1, "https://example.com/?a=1&b=2")]),
        ("<a href='example.com'>x</a>", "x", [("text_link", 0, 1, "http://example.com/")]),
        ('<a href="javascript:alert(1)">x</a>', "x", []),
        ('<a href="tg://user?id=5">x</a>', "x", [("text_mention", 0, 1, {"id": 5})]),
        ('<span class="tg-spoiler">x</span><tg-spoiler>y</tg-spoiler>', "xy",
         [("spoiler", 0, 1), ("spoiler", 1, 1)]),
        ("<pre>x</pre>", "x", [("pre", 0, 1)]),
        ('<pre><code class="language-python">x</code></pre>', "x", [("pre", 0, 1, "python")]),
        ("<blockquote>a\nb</blockquote>", "a\nb", [("blockquote", 0, 3)]),
        ("<blockquote expandable>a</blockquote>", "a", [("expandable_blockquote", 0, 1)]),
        ('<tg-emoji emoji-id="5">👍</tg-emoji>', "👍", [("custom_emoji", 0, 2, "5")]),
        ("  <b> x </b>\n", "x", [("bold", 0, 1)]),
        ("<B>x</>y", "xy", [("bold", 0, 1)]),
        ("/start <code>/help</code> #tag @alice_b a@b.com https://a.ru/x.",
         "/start /help #tag @alice_b a@b.com https://a.ru/x.",
         [("bot_command", 0, 6), ("code", 7, 5), ("hashtag", 13, 4), ("mention", 18, 8), ("email", 27, 7),
          ("url", 35, 14)]),
    ],
)  # fmt: skip
def test_html_becomes_entities(source: str, text: str, entities: list[tuple]) -> None:
    got_text, got_entities = parsed(source)
    assert got_text == text
    assert sorted(got_entities, key=str) == sorted(entities, key=str)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("<div>x</div>", 'Unsupported start tag "div" at byte offset 0'),
        ("ж<br>", 'Unsupported start tag "br" at byte offset 2'),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x<b", "Unclosed start tag at byte offset 1"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ('<a href="x>y</a>', "Unclosed start tag at byte offset 0"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<a =x>y</a>", 'Empty attribute name in the tag "a" at byte offset 3'),
        ("<a href>y</a>",
         'Expected equal sign in declaration of an attribute of the tag "a" at byte offset 0'),
    ],
)  # fmt: skip
def test_wrong_html_is_refused_in_telegrams_words(source: str, complaint: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parsed(source)
    assert refusal.value.description == f"Bad Request: can't parse entities: {complaint}"


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("*a* _b_ __c__ ~d~ ||e||", "a b c d e",
         [("bold", 0, 1), ("italic", 2, 1), ("underline", 4, 1), ("strikethrough", 6, 1), ("spoiler", 8, 1)]),
        (r"1\. `x\`` [y\.](https://a.ru)", "1. x` y.", [("code", 3, 2), ("text_link", 6, 2, "https://a.ru/")]),
        ("```python\nx```", "x", [("pre", 0, 1, "python")]),
        (">a\n>b\nc", "a\nb\nc", [("blockquote", 0, 3)]),
    ],
)  # fmt: skip
def test_markdown_v2_becomes_entities(source: str, text: str, entities: list[tuple]) -> None:
    assert parsed(source, "MarkdownV2") == (text, entities)


@pytest.mark.parametrize(
    ("source", "mode", "complaint"),
    [
        ("1.", "MarkdownV2", "Character '.' is reserved and must be escaped with the preceding '\\'"),
        ("a *b", "MarkdownV2", "Can't find end of Bold entity at byte offset 2"),
        ("a `b", "MarkdownV2", "Can't find end of Code entity at byte offset 2"),
        ("a *b", "Markdown", "Can't find end of the entity starting at byte offset 2"),
    ],
)
def test_wrong_markdown_is_refused(source: str, mode: str, complaint: str) -> None:
    with pytest.raises(Refusal) as refusal:
        parsed(source, mode)
    assert refusal.value.description == f"Bad Request: can't parse entities: {complaint}"


def test_legacy_markdown_reserves_less() -> None:
    assert parsed("*a*. [b](https://a.ru)!", "markdown") == (
        "a. b!",
        [("bold", 0, 1), ("text_link", 3, 1, "https://a.ru/")],
    )


def test_rendered_html_is_safe_and_nested() -> None:
    formatted = formatted_text('<b>a<i>b</i></b>&lt;script&gt; <a href="https://a.ru/">"</a>', "HTML", None)
    assert rendered(formatted.text, formatted.entities) == (
        '<b>a<i>b</i></b>&lt;script&gt; <a href="https://a.ru/" target="_blank" rel="noopener">&quot;</a>'
    )
    overlap = [{"type": "bold", "offset": 0, "length": 2}, {"type": "italic", "offset": 1, "length": 2}]
    assert rendered("abc", overlap) == "<b>a<i>b</i></b>c"


def test_what_people_type_is_searched_for_commands_and_links() -> None:
    formatted = detected("/start@qwenedit_bot 5/10 see a.b example.com")
    assert [_short(entity) for entity in formatted.entities] == [("bot_command", 0, 19), ("url", 33, 11)]
