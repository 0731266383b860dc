"""Telegram's HTML: our check is never milder than the stand-in's parser, which speaks as Telegram does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botapp import markup
from qwenedit.sandbox.telegram.formatting import formatted_text

PIECES = [
    "<",
    ">",
    "</",
    "/",
    "b",
    "i",
    "code",
    "pre",
    "a",
    "blockquote",
    " ",
    "&",
    "lt",
    ";",
    '"',
    "=",
    "href",
]
TAGS = [
    "<b>",
    "</b>",
    "<i>",
    "</i>",
    "<pre>",
    "</pre>",
    '<a href="https://a.example">',
    "</a>",
    "text",
    "&lt;",
]


@pytest.mark.parametrize(
    "text",
    [
        "Plain words, 5 > 3, Q&A",
        "<b>bold <i>and</i> <u>more</u></b> <s>gone</s>\n<code>a &lt; b &amp; c</code>",
        '<a href="https://example.org/?a=1&amp;b=2">there</a>',
        "<blockquote>said <b>loudly</b></blockquote><blockquote expandable>long</blockquote>",
        "<pre>line\n  line</pre>",
        "&quot;&#39;&#x27;",
    ],
)
def test_what_can_be_sent_has_no_problems(text: str) -> None:
    assert markup.problems(text) == []
    formatted_text(text, "HTML", None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<b>bold", "<b> is not closed"),
        ("bold</b>", "</b> does not close what was opened last"),
        ("<b><i>crossed</b></i>", "</b> does not close what was opened last"),
        ("<h1>head</h1>", "<h1> is none of the tags b, i, u, s, code, pre, a, blockquote"),
        ("<br/>", "<br/> is none of the tags"),
        ("I <3 you", "a lone < must be written as &lt;"),
        ("non&nbsp;breaking &copy;", "&nbsp; is nothing Telegram knows"),
        ("<a>nowhere</a>", "<a> has no or wrong attributes"),
        ('<a href="javascript:x">x</a>', '<a href="javascript:x"> has no or wrong attributes'),
        ('<b class="x">x</b>', '<b class="x"> has no or wrong attributes'),
        ("<code>a <b>b</b></code>", "<b> can not stand inside <code>"),
        (
            "<blockquote>a <b><blockquote>b</blockquote></b></blockquote>",
            "<blockquote> can not stand inside <b>",
        ),
        ("<>", "<> is none of the tags"),
        ("a" * 4097, "4097 characters are seen, at most 4096 fit a message"),
    ],
)
def test_a_mistake_is_named(text: str, problem: str) -> None:
    assert [found for found in markup.problems(text) if found.startswith(problem)]


def test_what_is_seen_is_measured_as_telegram_measures_it() -> None:
    assert markup.visible_length("<b>a &lt; 😀</b>") == 6


@given(st.lists(st.sampled_from(PIECES + TAGS), max_size=12).map("".join))
def test_nothing_that_passes_is_refused_by_telegram(text: str) -> None:
    if not markup.problems(text):
        formatted_text(f"x{text}", "HTML", None)
