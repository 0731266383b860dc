"""The prompt policy stops what it must, in any disguise, and lets ordinary wishes through."""

import pickle
import random
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.catalogue import read_catalogue
from jobs.policy import PromptRejected, check_prompt, rules
from jobs.policy.normalise import LOOKALIKES, SOUNDALIKES, SYMBOLS, fold, normalise
from jobs.policy.rules import Policy, PolicyError
from qwenedit.errors import DomainError

PROMPTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("prompts.yaml").read_text(encoding="utf-8"))
REJECTED = [(prompt, rule) for rule, prompts in PROMPTS["rejected"].items() for prompt in prompts]

BANNED = [
    "nude",
    "naked",
    "undress",
    "topless",
    "раздень",
    "голая",
    "топлес",
    "порно",
    "swastika",
    "наркотики",
]
BETWEEN_LETTERS = ["", " ", ".", "-", "_", "·", " - ", "\n", "\u200b", "\u00ad", "🍑", "/", " 🍑 "]


def rule_against(prompt: str) -> str | None:
    try:
        check_prompt(prompt)
    except PromptRejected as rejected:
        return rejected.rule
    return None


@pytest.mark.parametrize("prompt", PROMPTS["allowed"])
def test_an_ordinary_wish_passes(prompt: str) -> None:
    assert rule_against(prompt) is None


@pytest.mark.parametrize(("prompt", "rule"), REJECTED)
def test_a_forbidden_wish_is_rejected_by_its_rule(prompt: str, rule: str) -> None:
    assert rule_against(prompt) == rule


def test_the_tables_are_broad_enough_to_mean_something() -> None:
    assert len(REJECTED) >= 150
    assert len(PROMPTS["allowed"]) >= 150
    assert PROMPTS["rejected"].keys() == {rule.id for rule in rules()}


def test_a_rejection_names_the_rule_for_machines_and_in_both_languages_for_people() -> None:
    with pytest.raises(PromptRejected) as caught:
        check_prompt("раздень её")
    rejected = caught.value
    assert isinstance(rejected, DomainError)
    assert (rejected.code, rejected.status, rejected.retryable) == ("prompt_rejected", 400, False)
    assert rejected.rule == rejected.extra["rule"] == "undressing"
    assert (
        rejected.message
        == rejected.titles["en"]
        == "People must not be undressed, or shown naked or in underwear."
    )
    assert rejected.titles["ru"] == "Нельзя раздевать людей, показывать их голыми или в нижнем белье."


def test_a_rejection_survives_the_way_between_processes() -> None:
    with pytest.raises(PromptRejected) as caught:
        check_prompt("nude")
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (copy.message, copy.rule, copy.titles) == (
        caught.value.message,
        caught.value.rule,
        caught.value.titles,
    )


def test_every_preset_passes() -> None:
    prompts = [preset.prompt for preset in read_catalogue().presets]
    assert len(prompts) >= 150
    assert [(prompt, rule) for prompt in prompts if (rule := rule_against(prompt))] == []


@settings(deadline=None)
@given(st.sampled_from(BANNED), st.sampled_from(BETWEEN_LETTERS), st.randoms(use_true_random=False))
def test_a_disguise_does_not_help(word: str, between: str, chance: random.Random) -> None:
    letters = []
    for letter in word:
        lookalikes = [glyph for glyph in LOOKALIKES.get(letter, "") if glyph.isalpha()]
        drawn = chance.choice([letter, letter, *lookalikes])
        letters.append(chance.choice([drawn, drawn.upper()]) * chance.choice([1, 1, 1, 2, 5]))
    disguised = between.join(letters)
    assert rule_against(f"photo of {disguised} please") is not None, disguised


@settings(deadline=None)
@given(st.sampled_from(BANNED), st.data())
def test_leetspeak_for_a_third_of_the_letters_does_not_help(word: str, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(0, len(word) - 1), max_size=len(word) // 3))
    letters = list(word)
    for place in places:
        signs = [glyph for glyph in LOOKALIKES.get(word[place], "") if not glyph.isalpha()]
        # ! and | are punctuation at the edge of a word.
        signs = [sign for sign in signs if sign not in "!|" or 0 < place < len(word) - 1]
        if signs:
            letters[place] = data.draw(st.sampled_from(signs))
    assert rule_against("".join(letters)) is not None, letters


@settings(deadline=None)
@given(st.text(max_size=600))
@example("\ud800")
@example("\x00")
@example("ﷺ" * 20)
@example("\u0306" * 30)
@example("*" * 400)
@example("n*" * 200)
def test_any_text_is_either_fine_or_rejected(text: str) -> None:
    assert rule_against(text) in {None, *PROMPTS["rejected"]}


@settings(deadline=None)
@given(st.text(max_size=300))
def test_normalising_ends_in_its_own_alphabet(text: str) -> None:
    normalised = normalise(text)
    assert fold(normalised) == normalised.replace("#", "·")
    assert not any(pair in normalised for pair in ("  ", "··", "..", " .", ". "))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["as", "sex", "is", "ex", "press", "а", "нал", "раз", "день", "по", "рно"]),
        min_size=2,
    )
)
def test_pieces_are_not_joined_over_a_space(words: list[str]) -> None:
    whole_words = {"sex"} & set(words)
    assert (rule_against(" ".join(words)) is None) == (not whole_words)


@settings(deadline=None)
@given(st.sampled_from(["nude", "naked", "undress", "голая", "раздень"]), st.data())
def test_letters_that_sound_alike_do_not_help_in_a_mixed_word(word: str, data: st.DataObject) -> None:
    sounding = [place for place, letter in enumerate(word) if letter in SOUNDALIKES]
    place = data.draw(st.sampled_from(sounding))
    mixed = word[:place] + SOUNDALIKES[word[place]] + word[place + 1 :]
    assert rule_against(f"photo {mixed}") is not None, mixed


def test_a_word_of_one_alphabet_is_not_read_by_the_sound_of_another() -> None:
    assert rule_against("nuде") == "undressing"
    assert rule_against("пиде на столе") is None


def test_no_lookalike_is_lost_to_folding() -> None:
    tables = [*LOOKALIKES.items(), *SOUNDALIKES.items()]
    glyphs = {glyph for letter, glyphs in tables for glyph in letter + glyphs}
    assert {glyph for glyph in glyphs if fold(glyph) != glyph} == set()
    assert {glyph for glyph in glyphs if not glyph.isalnum()} <= set(SYMBOLS)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Чёрный Ёжик й", "черный ежик й"),
        ("n u d e  now", "n·u·d·e now"),
        ("nuuuude", "nuude"),
        ("dog's ears", "dogs ears"),
        ("Remove it. Keep it!", "remove it.keep it"),
        ("well-known a/b", "well·known a·b"),
        ("one — two", "one.two"),
        ("p@rk, mail@, 5 $", "p@rk.mail@.5"),
        ("53x and 12-year", "##x and 12·year"),
        ("ⓃⓊⒹⒺ ＡＢ ᴀʙ", "nude ab ab"),
        ("\u0438\u0306 и\u0301", "й и"),
        ("٣ lines", "3 lines"),
    ],
)
def test_text_is_normalised(written: str, read: str) -> None:
    assert normalise(written) == read


@pytest.mark.parametrize(
    "text",
    [
        "а б " * 125,
        "o" * 500,
        "a-" * 250,
        "сними " * 83,
        "🙂" * 500,
        "remove the " * 45,
        "n*" * 250,
        "s3 " * 166,
    ],
)
def test_a_hostile_prompt_of_the_greatest_length_takes_no_noticeable_time(text: str) -> None:
    rules()
    started = thread_time()
    rule_against(text)
    assert thread_time() - started < 1


def test_time_grows_with_length_and_no_faster() -> None:
    rules()

    def seconds(text: str) -> float:
        started = thread_time()
        rule_against(text)
        return thread_time() - started

    phrase = "Take the picture apart, sins off, remove the a of all the her. "
    # Each text once: what was judged a moment ago is not judged again.
    short = min(seconds(f"{phrase * 20}{number}") for number in range(5))
    long = min(seconds(f"{phrase * 160}{number}") for number in range(5))
    assert long < 8 * short * 4


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def test_a_new_rule_needs_only_the_file(policy_file: Path) -> None:
    policy_file.write_text(
        """
words:
  colour: [red|blue, тёмно синий]
rules:
  - id: paint
    title: {ru: Красить нельзя., en: Painting is not allowed.}
    patterns:
      ru: [покрась* ... "{colour}"]
      en: ["paint* [it] {colour}... wall|door"]
    together:
      - [brush, "{colour}"]
    allow:
      - paint , brush
""".replace('покрась* ... "{colour}"', '"покрась* ... {colour}"'),
        encoding="utf-8",
    )
    policy = Policy.load(policy_file)

    def broken(text: str) -> bool:
        return policy.first_broken(text) is not None

    assert [rule.id for rule in policy.rules] == ["paint"]
    assert broken("Покрасьте эту стену в тёмно-синий")
    assert broken("painting it red-red wall")
    assert broken("paint door")
    assert broken("a blue bowl and a brush")
    assert not broken("a blue bowl and a paint brush")
    assert not broken("a blue bowl and paint, brush")
    assert not broken("paint it one two three four five wall")
    assert not broken("a red wall")


def test_a_phrase_may_ask_to_be_the_last(policy_file: Path) -> None:
    policy_file.write_text(
        """
words: {}
rules:
  - id: undoing
    title: {ru: Нельзя., en: No.}
    patterns:
      ru: [убери все .]
      en: ["take it [all] off ."]
""",
        encoding="utf-8",
    )
    policy = Policy.load(policy_file)
    for text in ("убери всё", "Убери всё!", "take it all off, please", "take it off"):
        assert policy.first_broken(text), text
    for text in ("убери всё лишнее", "убери все-таки очки", "take it off the table"):
        assert policy.first_broken(text) is None, text


def test_an_exception_may_depend_on_what_else_is_in_the_text(policy_file: Path) -> None:
    policy_file.write_text(
        """
words: {}
rules:
  - id: fire
    title: {ru: Нельзя., en: No.}
    patterns:
      ru: [огонь]
      en: [fire|arson]
    allow_if:
      - phrases: [fire]
        present: [stove|camp]
        absent: [house]
""",
        encoding="utf-8",
    )
    policy = Policy.load(policy_file)
    assert policy.first_broken("fire") is not None
    assert policy.first_broken("a stove, and in it a fire") is None
    assert policy.first_broken("fire in the camp") is None
    assert policy.first_broken("fire in the camp and the house") is not None
    assert policy.first_broken("arson in the camp") is not None


def test_everything_wrong_with_a_file_is_reported_at_once(policy_file: Path) -> None:
    policy_file.write_text(
        """
words:
  empty: []
  mixed: [рaз]
rules:
  - id: one
    title: {ru: Нельзя., en: no sentence}
    patterns: {ru: ["{unknown} слово"], en: ["word ..."]}
  - id: one
    title: {ru: Нельзя., en: No.}
    patterns: {ru: [ооо], en: ["[maybe] word", 5]}
    allow: ["... word", "{mixed}..."]
    together: brush
  - id: two
    title: {ru: Нельзя.}
  - id: three
    title: {ru: Нельзя., en: No.}
    patterns: {ru: [слово .], en: ["word [maybe] ."]}
    allow_if: [{phrases: [word]}]
  - just text
""",
        encoding="utf-8",
    )
    with pytest.raises(PolicyError) as caught:
        Policy.load(policy_file)
    expected = [
        "words.empty must be a list of phrases",
        "words.mixed: 'рaз': 'рaз' is not a word in one alphabet",
        "rule one: title.en must be a sentence",
        "there is no word list 'unknown' above it",
        "'word ...': must end with a word",
        "'ооо' repeats a letter three times",
        "rule one: patterns.en must be a list of phrases",
        "'... word': must begin with a word",
        "'{mixed}...': must begin with a word",
        "rule one: together must be a list of groups of phrases",
        "rule one: the id is used twice",
        "rule two: needs id, title and patterns",
        "'word [maybe] .': must end with a word",
        "rule three: allow_if must be a list of mappings",
        "rule number 5: needs id, title and patterns",
    ]
    for problem in expected:
        assert any(problem in found for found in caught.value.problems), problem
    assert len(caught.value.problems) == len(expected)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"words: [", "cannot be read"),
        (b"\xff\xfe\xfa", "cannot be read"),
        (b"rules: []", "the file must hold the keys words and rules"),
        (b"words: {}\nrules: []", "rules must be a list"),
        (b"words: 5\nrules: []", "words must be a mapping"),
    ],
)
def test_a_file_of_another_shape_is_refused(policy_file: Path, content: bytes, problem: str) -> None:
    policy_file.write_bytes(content)
    with pytest.raises(PolicyError, match=problem):
        Policy.load(policy_file)


def test_a_missing_file_is_refused(policy_file: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load(policy_file)
