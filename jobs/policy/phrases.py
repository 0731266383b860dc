"""The small language in which the policy is written.

It owns the syntax and its meaning as data; it knows neither YAML, nor any rule, nor how a text is searched.
A phrase is terms with spaces between them:

    word        the word itself, in any disguise
    word*       any word that begins so
    _           any one word
    a|b*|{c}    one of several; `{c}` is any entry of the word list `c`
    [a|b], [_]  the same, or nothing
    {c}...      up to four entries of the list `c`, or nothing
    ...         up to four words of any kind, or nothing
    ,           the words on its sides may be parted by punctuation (matters in strict reading only)
    .           last of all: nothing follows but punctuation or the end of the text

A phrase begins and ends with a word that must be there. Its words follow each other over a space, a hyphen,
punctuation, or nothing ("removeclothes"); words of any kind over a space or a hyphen only. In strict reading,
which is how exceptions are read, nothing but a space or a hyphen will do anywhere, so that a full stop cannot
make an exception of two neighbours.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache, cached_property
from typing import Self

from jobs.policy.normalise import fold

MOST_BETWEEN = 4

_TERM = re.compile(r"(?P<many>\{\w+\})\.\.\.|\[(?P<optional>[^][\s]+)\]|(?P<required>[^][\s.,]+)")
_WORD = re.compile(r"(?P<stem>[a-z]+|[а-я]+|[0-9]+)(?P<open>\*?)")
_STRETCHED = re.compile(r"([^\W\d])\1\1")
_ANY_WORD = "_"
_NOTHING_AFTER = "."


class PhraseError(ValueError):
    """A phrase that is not in the language of this module."""


class Gap(Enum):
    """What may lie between two words of a phrase."""

    USUAL = auto()
    TIGHT = auto()
    PUNCTUATED = auto()
    WORDS = auto()


@dataclass(frozen=True, eq=False)
class Word:
    """A word of a phrase; an open one stands for every word that begins so.

    The same word is always the same object (`_interned`), so that the search compares by identity.
    """

    stem: str
    is_open: bool


@dataclass(frozen=True)
class Choice:
    """One of several words, or of the entries of several lists."""

    words: frozenset[Word]
    lists: tuple["Phrases", ...]

    def first_words(self) -> Iterator[Word]:
        """Yield every word with which this choice may begin."""
        yield from self.words
        for phrases in self.lists:
            yield from phrases.by_first_word

    def all_words(self) -> frozenset[Word]:
        """Return every word of this choice."""
        return self.words.union(*(phrases.all_words for phrases in self.lists))


@dataclass(frozen=True)
class Step:
    """A gap and what follows it, `least` to `most` times; no choice means any word."""

    gap: Gap
    choice: Choice | None
    least: int = 1
    most: int = 1


@dataclass(frozen=True, eq=False)
class Phrase:
    """What it begins with, what follows, and whether nothing may come after."""

    first: Choice
    steps: tuple[Step, ...]
    is_last: bool = False

    @classmethod
    def parse(cls, source: str, lists: Mapping[str, "Phrases"]) -> Self:
        """Read a phrase that may use `lists`.

        Errors: PhraseError.
        """
        beginning, *terms = source.split() or [""]
        parts = _TERM.fullmatch(beginning)
        if parts is None or not parts["required"] or beginning == _ANY_WORD:
            raise PhraseError(f"{source!r}: must begin with a word")
        first = _parse_choice(beginning, source, lists)
        is_last = terms[-1:] == [_NOTHING_AFTER]
        if is_last:
            terms.pop()
        steps: list[Step] = []
        gap, complete = Gap.USUAL, True
        for term in terms:
            if term in {",", "..."}:
                if gap is not Gap.USUAL:
                    raise PhraseError(f"{source!r}: {term!r} must stand between words")
                gap, complete = Gap.PUNCTUATED if term == "," else Gap.WORDS, False
                continue
            parts = _TERM.fullmatch(term)
            if parts is None:
                raise PhraseError(f"{source!r}: {term!r} is not a term")
            if _ANY_WORD in {parts["required"], parts["optional"]}:
                steps.append(Step(Gap.TIGHT, None, least=1 if parts["required"] else 0))
                gap, complete = Gap.TIGHT, False
            elif parts["required"]:
                steps.append(Step(gap, _parse_choice(parts["required"], source, lists)))
                gap, complete = Gap.USUAL, True
            else:
                choice = _parse_choice(parts["optional"] or parts["many"], source, lists)
                steps.append(Step(gap, choice, least=0, most=1 if parts["optional"] else MOST_BETWEEN))
                # A comma before what may be absent is also a comma before what comes after it.
                gap, complete = Gap.PUNCTUATED if gap is Gap.PUNCTUATED else Gap.USUAL, False
        if not complete:
            raise PhraseError(f"{source!r}: must end with a word")
        return cls(first, tuple(steps), is_last)


@dataclass(frozen=True, eq=False)
class Phrases:
    """Several phrases, any of which will do."""

    phrases: tuple[Phrase, ...]

    @cached_property
    def by_first_word(self) -> Mapping[Word, tuple[Phrase, ...]]:
        """The phrases that may begin with a word, by that word."""
        index: dict[Word, tuple[Phrase, ...]] = {}
        for phrase in self.phrases:
            for word in set(phrase.first.first_words()):
                index[word] = (*index.get(word, ()), phrase)
        return index

    @cached_property
    def all_words(self) -> frozenset[Word]:
        """Every word of every phrase and of the lists they use."""
        words: set[Word] = set()
        for phrase in self.phrases:
            words |= phrase.first.all_words()
            for step in phrase.steps:
                if step.choice is not None:
                    words |= step.choice.all_words()
        return frozenset(words)


def _parse_choice(term: str, source: str, lists: Mapping[str, Phrases]) -> Choice:
    words: set[Word] = set()
    used: list[Phrases] = []
    for alternative in term.split("|"):
        if alternative.startswith("{") and alternative.endswith("}"):
            name = alternative[1:-1]
            if name not in lists:
                raise PhraseError(f"{source!r}: there is no word list {name!r} above it")
            used.append(lists[name])
        else:
            words.add(_parse_word(alternative, source))
    return Choice(frozenset(words), tuple(used))


def _parse_word(written: str, source: str) -> Word:
    word = _WORD.fullmatch(fold(written))
    if word is None:
        raise PhraseError(f"{source!r}: {written!r} is not a word in one alphabet")
    if _STRETCHED.search(word["stem"]):
        raise PhraseError(
            f"{source!r}: {written!r} repeats a letter three times, which no normalised text does"
        )
    return _interned(word["stem"], bool(word["open"]))


_interned = cache(Word)


def words_of(several: Iterable[Phrases]) -> frozenset[Word]:
    """Return every word that is needed to find any of the phrases."""
    return frozenset(word for phrases in several for word in phrases.all_words)
