"""What the bot says is complete in every language, is what the code asks for, and is what Telegram takes."""

import re
from collections.abc import Collection, Iterator
from html import unescape
from pathlib import Path

import pytest

from botapp import application, markup, texts
from botapp.handlers import unreadable
from botapp.knowledge import read_articles
from botapp.texts import LANGUAGES, SafeText, Texts, TextsError, plural_form
from jobs.comfy.errors import ComfyError
from payments import stars
from payments.models import LedgerEntry
from qwenedit.errors import DomainError
from qwenedit.sandbox.telegram.errors import Refusal
from qwenedit.sandbox.telegram.formatting import formatted_text
from tests.botapp import sources

LONGEST_TOAST = 200
LONGEST_DESCRIPTION = 512
LONGEST_SHORT_DESCRIPTION = 120
# Calls whose words Telegram shows as they are, without HTML.
PLAIN = frozenset({"acknowledge", "button", "link", "InlineKeyboardButton", "CopyTextButton", "BotCommand"})
LONG_VALUE = "w" * 60  # a title, a name
COUNTS = (0, 1, 2, 5, 11, 21, 111, 1_000_000)
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
LETTER = re.compile(r"[^\W\d_]")
TAG = re.compile(r"<[^<>]*>")
PLACEHOLDER = re.compile(r"\{\w+\}")
# Texts in which a language is named in its own words.
OF_BOTH_LANGUAGES = frozenset({"commands.language"})

KEYS = frozenset(texts.keys())


def error_codes(of: type[DomainError] = DomainError) -> Iterator[str]:
    for error in of.__subclasses__():
        yield error.code
        yield from error_codes(error)


# Keys that the code puts together: the head, and what may follow it.
FAMILIES = {
    "commands.": set(application.COMMANDS),
    "errors.": set(error_codes()),
    "history.kind_": set(LedgerEntry.Kind),
    "job_errors.": set(error_codes()) | sources.literals("jobs") | sources.literals(),
    "job_errors.picture_": sources.literals("qwenedit/lib"),
    "news.": sources.literals(),
    "stars.refused_": set(stars.Refusal),
    "unreadable.": set(unreadable.ANSWERS.values()),
}
FAMILIES_WITHOUT_A_GAP = {
    "commands.": FAMILIES["commands."],
    "history.kind_": FAMILIES["history.kind_"],
    "job_errors.": set(error_codes(ComfyError)),
    "stars.refused_": FAMILIES["stars.refused_"],
    "unreadable.": FAMILIES["unreadable."],
}
# Shown as it is, without HTML, wherever it is asked for: why a payment must not be made.
PLAIN_FAMILIES = ("stars.refused_", "stars.not_now")


def nothing(found: Collection[str]) -> None:
    """Fail with all that was found, a line each."""
    assert not found, "\n" + "\n".join(found)


def forms(key: str, language: str) -> list[str]:
    """Return a text as it is written, in every form it has."""
    text = texts._texts()[key][language]
    return [text] if isinstance(text, str) else list(text.values())


def wanted(key: str) -> set[str]:
    """Return the names of the values that a text can not do without."""
    found = {
        name for language in LANGUAGES for text in forms(key, language) for name in texts.placeholders(text)
    }
    return found if isinstance(texts._texts()[key]["ru"], str) else found | {"count"}


def said(key: str, language: str) -> list[str]:
    """Return a text with long values in it, or with numbers for all its forms."""
    names = wanted(key)
    values = {name: SafeText(LONG_VALUE) for name in names - {"count"}}
    counts = COUNTS if "count" in names else COUNTS[:1]
    return [Texts(language)(key, **values, count=count) for count in counts]


def everything_said() -> Iterator[tuple[str, str]]:
    for key in sorted(KEYS):
        for language in LANGUAGES:
            yield from ((f"{key} ({language})", text) for text in said(key, language))


class TestLanguages:
    def test_every_text_is_there_in_every_language(self) -> None:
        assert len(KEYS) > 100
        blank = [
            f"{key} ({language})"
            for key in KEYS
            for language in LANGUAGES
            for text in forms(key, language)
            if not text or text != text.strip()
        ]
        nothing(blank)

    def test_russian_is_written_in_cyrillic_and_english_is_not(self) -> None:
        foreign = []
        for key in KEYS - OF_BOTH_LANGUAGES:
            for text in forms(key, "ru"):
                bare = PLACEHOLDER.sub("", TAG.sub("", text))
                foreign += [f"{key}: {text}"] if LETTER.search(bare) and not CYRILLIC.search(bare) else []
            foreign += [f"{key}: {text}" for text in forms(key, "en") if CYRILLIC.search(text)]
        nothing(foreign)

    def test_both_languages_have_the_same_tags(self) -> None:
        different = [
            key
            for key in KEYS
            if len({tuple(TAG.findall(text)) for language in LANGUAGES for text in forms(key, language)}) > 1
        ]
        nothing(different)

    def test_a_language_that_we_do_not_speak_is_answered_in_english(self) -> None:
        assert Texts("de")("menu.to_menu") == Texts("en")("menu.to_menu")

    @pytest.mark.parametrize(
        ("counts", "russian", "english"),
        [
            ((1, -1), "one", "one"),
            ((21, 101, 1_000_001), "one", "many"),
            ((2, 3, 4, 22, 34, 122), "few", "many"),
            ((0, 5, 10, 11, 12, 14, 19, 25, 111, 112, 1_000_000), "many", "many"),
        ],
    )
    def test_a_number_takes_the_form_of_its_language(
        self, counts: tuple[int, ...], russian: str, english: str
    ) -> None:
        assert {plural_form("ru", count) for count in counts} == {russian}
        assert {plural_form("en", count) for count in counts} == {english}

    def test_points_are_counted(self) -> None:
        russian, english = Texts("ru"), Texts("en")
        assert [russian("menu.points", count=n) for n in (1, 3, 30)] == ["1 балл", "3 балла", "30 баллов"]
        assert [english("menu.points", count=n) for n in (1, 3)] == ["1 point", "3 points"]


class TestValues:
    def test_what_people_wrote_is_escaped_and_our_own_html_is_not(self) -> None:
        say = Texts("en")
        assert "<b>&lt;i&gt;Eve &amp; co</b>" in say("menu.welcome", name="<i>Eve & co")
        assert "<b><i>Eve</i></b>" in say("menu.welcome", name=SafeText("<i>Eve</i>"))

    def test_braces_in_a_value_are_only_braces(self) -> None:
        assert "{name}" in Texts("en")("menu.welcome", name="{name}")

    @pytest.mark.parametrize("key", ["menu.welcome", "menu.no_such_text"])
    def test_a_missing_value_or_text_is_an_error(self, key: str) -> None:
        with pytest.raises(KeyError):
            Texts("en")(key)

    @pytest.mark.parametrize(
        ("written", "problem"),
        [
            ("a: {ru: Привет}", "subject.a: expected exactly the languages ru, en"),
            ("yes: {ru: Да, en: Yes}", "subject.True: the name must stand in quotes"),
            ("a: Hello", "subject.a: expected exactly the languages ru, en"),
            ("a: {ru: 'Привет, {name}', en: Hello}", "subject.a: en: holds [], elsewhere ['name']"),
            ("a: {ru: Привет, en: ' '}", "subject.a: en: expected text"),
            (
                "a: {ru: {one: а, many: б}, en: {one: a, many: b}}",
                "subject.a: ru: expected the forms few, many",
            ),
        ],
    )
    def test_a_file_with_mistakes_is_refused_with_their_place(
        self, written: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "subject.yaml").write_text(written, encoding="utf-8")
        monkeypatch.setattr(texts, "FOLDER", tmp_path)
        with pytest.raises(TextsError) as refusal:
            texts._texts.__wrapped__()
        assert problem in str(refusal.value)


class TestCode:
    def test_every_text_that_is_asked_for_exists(self) -> None:
        assert len(sources.uses()) > 50
        missing = [f"{use.place}: {key}" for use in sources.uses() for key in use.keys - KEYS]
        nothing(missing)

    def test_every_key_can_be_told_by_reading_the_code(self) -> None:
        unknown = [
            f"{use.place}: {', '.join(use.families) or 'a key from elsewhere'}"
            for use in sources.uses()
            if not (use.keys or use.families) or not use.families <= FAMILIES.keys()
        ]
        nothing(unknown)

    def test_every_text_gets_the_values_it_holds(self) -> None:
        wrong = [
            f"{use.place}: {key} holds {sorted(wanted(key))}, gets {sorted(use.values)}"
            for use in sources.uses()
            for key in use.keys & KEYS
            if use.values is not None and use.values != wanted(key)
        ]
        nothing(wrong)

    def test_no_text_is_left_over(self) -> None:
        used = {key for use in sources.uses() for key in use.keys} | sources.literals()
        used |= {f"{family}{name}" for family, names in FAMILIES.items() for name in names}
        nothing(sorted(KEYS - used))

    @pytest.mark.parametrize("family", FAMILIES_WITHOUT_A_GAP)
    def test_every_member_of_a_family_has_a_text(self, family: str) -> None:
        nothing(sorted({f"{family}{name}" for name in FAMILIES_WITHOUT_A_GAP[family]} - KEYS))


class TestTelegram:
    def test_every_text_is_html_that_telegram_takes(self) -> None:
        refused = []
        for key, text in everything_said():
            refused += [f"{key}: {problem}" for problem in markup.problems(text)]
            try:
                formatted_text(text, "HTML", None)
            except Refusal as refusal:
                refused.append(f"{key}: {refusal.description}")
        nothing(refused)

    def test_toasts_and_buttons_are_plain_and_fit(self) -> None:
        shown = [(use.place, key) for use in sources.uses() if use.inside & PLAIN for key in use.keys & KEYS]
        shown += [(family, key) for family in PLAIN_FAMILIES for key in KEYS if key.startswith(family)]
        nothing(
            [
                f"{place}: {key}"
                for place, key in shown
                for language in LANGUAGES
                for text in said(key, language)
                if text != unescape(TAG.sub("", text)) or len(text) > LONGEST_TOAST
            ]
        )

    def test_descriptions_fit_the_bots_profile(self) -> None:
        for language in LANGUAGES:
            say = Texts(language)
            assert len(say("commands.description")) <= LONGEST_DESCRIPTION
            assert len(say("commands.short_description")) <= LONGEST_SHORT_DESCRIPTION

    def test_every_article_is_html_that_telegram_takes(self) -> None:
        for article in read_articles():
            for title, body in ((article.title_ru, article.body_ru), (article.title_en, article.body_en)):
                message = f"<b>{article.icon} {title}</b>\n\n{body}"
                assert markup.problems(message) == []
                assert len(formatted_text(message, "HTML", None).entities) < 100
