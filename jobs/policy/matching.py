"""Finds phrases in normalised text.

It owns the search: a trie that recognises the policy's words in any disguise, and the walk of a phrase over
them. It knows no rule. What was found at a position is remembered, a disguised word has a greatest length and
a phrase has few terms, so the time grows with the length of the text, whatever the text is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from jobs.policy.normalise import LOOKALIKES, SOUNDALIKES, SYMBOLS
from jobs.policy.phrases import MOST_BETWEEN, Choice, Gap, Phrase, Phrases, Word

# Stands where a phrase was taken out: neither a letter nor a gap, so that no phrase reaches over it.
_TAKEN_OUT = "\n"
_MASK = "*"
_INSIDE_WORD = frozenset("·" + SYMBOLS)
_TIGHT = frozenset(" ·")
_WIDE = frozenset(" ·.")
_NOTHING_AFTER = frozenset({"", ".", _TAKEN_OUT})
_LONGEST_DISGUISE = 80
_LONGEST_SPELLED_ENDING = 6
_LETTER = r"[^\W\d_]"
_WORD_CHARACTERS = re.compile(rf"[\w#{re.escape(SYMBOLS)}]+")
_UNPARTED = re.compile(rf"[\w·{re.escape(SYMBOLS)}]+")
_LATIN = re.compile("[a-z]")
_CYRILLIC = re.compile("[а-я]")
_WORD_START = re.compile(rf"(?<!{_LETTER})[\w{re.escape(SYMBOLS)}]")
_SPELLED_LETTER = re.compile(rf"·{_LETTER}(?!{_LETTER})")


def _letters_by_glyph(*tables: Mapping[str, str]) -> Mapping[str, str]:
    letters: dict[str, str] = {}
    for table in tables:
        for letter, glyphs in table.items():
            for glyph in glyphs:
                letters[glyph] = letters.get(glyph, glyph) + letter
    return letters


_LETTERS = _letters_by_glyph(LOOKALIKES)
_LETTERS_OF_MIXED = _letters_by_glyph(LOOKALIKES, SOUNDALIKES)


def _letters_at(text: str, start: int, limit: int) -> Mapping[str, str]:
    """Return what each glyph passes for; by its sound only where the alphabets are mixed."""
    unparted = _UNPARTED.match(text, start, limit)
    is_mixed = unparted and _LATIN.search(unparted[0]) and _CYRILLIC.search(unparted[0])
    return _LETTERS_OF_MIXED if is_mixed else _LETTERS


class _Node:
    """One letter of a word, with the words that end at it."""

    __slots__ = ("children", "letter", "words")

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.children: dict[str, _Node] = {}
        self.words: list[Word] = []


class Lexicon:
    """Recognises words in any disguise: look-alikes, masks, gaps and stretched letters."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._root = _Node("")
        for word in words:
            node = self._root
            for letter in word.stem:
                node = node.children.setdefault(letter, _Node(letter))
            node.words.append(word)

    def words_at(self, text: str, start: int) -> dict[Word, set[int]]:
        """Return the words that begin at `start`, each with the positions where it may end.

        An end may lie inside a longer word; whoever asks decides whether that will do.
        """
        found: dict[Word, set[int]] = {}
        limit = min(len(text), start + _LONGEST_DISGUISE)
        letters_by_glyph = _letters_at(text, start, limit)
        waiting = [(self._root, start)]
        seen = set(waiting)
        while waiting:
            node, position = waiting.pop()
            for word in node.words:
                if _is_written(word, text, start, position):
                    found.setdefault(word, set()).update(_ends(text, position, word))
            if position < limit:
                glyph = text[position]
                for step in _next_steps(node, glyph, letters_by_glyph.get(glyph, glyph), position + 1):
                    if step not in seen:
                        seen.add(step)
                        waiting.append(step)
        return found


def _next_steps(node: _Node, glyph: str, letters: str, after: int) -> Iterator[tuple[_Node, int]]:
    if glyph == _MASK:
        yield from ((child, after) for child in node.children.values())
    for letter in letters:
        if letter in node.children:
            yield node.children[letter], after
    if node.letter and not node.letter.isdigit() and (node.letter in letters or glyph in _INSIDE_WORD):
        yield node, after


def _ends(text: str, position: int, word: Word) -> Iterator[int]:
    if not word.is_open:
        yield position
        return
    rest = _WORD_CHARACTERS.match(text, position)
    end = rest.end() if rest else position
    yield end
    for _ in range(_LONGEST_SPELLED_ENDING):
        spelled = _SPELLED_LETTER.match(text, end)
        if spelled is None:
            return
        end = spelled.end()
        yield end


def _is_written(word: Word, text: str, start: int, end: int) -> bool:
    """Tell a number from a part of a longer one, and a word from digits that happen to look like it."""
    if word.stem.isdigit():
        return not (text[start - 1 : start].isdigit() or text[end : end + 1].isdigit())
    return any(character.isalpha() for character in text[start:end])


class Reading:
    """A normalised text under search; `strict` is explained in `jobs.policy.phrases`."""

    def __init__(self, text: str, lexicon: Lexicon) -> None:
        self.text = text
        self._lexicon = lexicon
        self._words: dict[int, dict[Word, set[int]]] = {}
        self._starts: dict[Word, list[int]] = {}
        for match in _WORD_START.finditer(text):
            for word in self._words_at(match.start()):
                self._starts.setdefault(word, []).append(match.start())
        self._list_ends: dict[tuple[Phrases, int, bool], frozenset[int]] = {}

    def contains(self, phrases: Phrases) -> bool:
        """Tell whether one of the phrases occurs as whole words."""
        return any(
            self._is_word_end(end)
            for start in self._starts_of(phrases)
            for end in self._ends_of_any(phrases, start, strict=False)
        )

    def without(self, phrases: Phrases) -> "Reading":
        """Return the reading of the text from which the phrases, read strictly, are taken out."""
        kept, position = [], 0
        for start in sorted(self._starts_of(phrases)):
            if start < position:
                continue
            ends = [end for end in self._ends_of_any(phrases, start, strict=True) if self._is_word_end(end)]
            if ends:
                kept.append(self.text[position:start])
                position = max(ends)
        return Reading(_TAKEN_OUT.join([*kept, self.text[position:]]), self._lexicon) if kept else self

    def _starts_of(self, phrases: Phrases) -> set[int]:
        return {start for word in self._starts.keys() & phrases.by_first_word for start in self._starts[word]}

    def _is_word_end(self, position: int) -> bool:
        return not self.text[position : position + 1].isalpha()

    def _words_at(self, position: int) -> dict[Word, set[int]]:
        words = self._words.get(position)
        if words is None:
            words = self._words[position] = self._lexicon.words_at(self.text, position)
        return words

    def _ends_of_any(self, phrases: Phrases, start: int, *, strict: bool) -> frozenset[int]:
        key = (phrases, start, strict)
        ends = self._list_ends.get(key)
        if ends is None:
            index = phrases.by_first_word
            first_words = self._words_at(start).keys() & index.keys()
            candidates = {phrase for word in first_words for phrase in index[word]}
            ends = self._list_ends[key] = frozenset(
                end for phrase in candidates for end in self._ends_of(phrase, start, strict=strict)
            )
        return ends

    def _ends_of(self, phrase: Phrase, start: int, *, strict: bool) -> set[int]:
        reached = set(self._ends_of_choice(phrase.first, start, strict=strict))
        for step in phrase.steps:
            latest = reached
            if step.least:
                reached = set()
            for _ in range(step.most):
                begins = {begin for end in latest for begin in self._after_gap(end, step.gap, strict=strict)}
                latest = {
                    end for begin in begins for end in self._ends_of_choice(step.choice, begin, strict=strict)
                }
                reached = reached | latest
            if not reached:
                break
        if phrase.is_last:
            return {end for end in reached if self.text[end : end + 1] in _NOTHING_AFTER}
        return reached

    def _ends_of_choice(self, choice: Choice | None, start: int, *, strict: bool) -> Iterator[int]:
        if choice is None:
            if any_word := _WORD_CHARACTERS.match(self.text, start):
                yield any_word.end()
            return
        words = self._words_at(start)
        for word in words.keys() & choice.words:
            yield from words[word]
        for phrases in choice.lists:
            yield from self._ends_of_any(phrases, start, strict=strict)

    def _after_gap(self, end: int, gap: Gap, *, strict: bool) -> Iterator[int]:
        separator = self.text[end : end + 1]
        if not strict and (gap is Gap.USUAL or gap is Gap.WORDS):
            yield end
        tight = gap is Gap.TIGHT or (strict and gap is not Gap.PUNCTUATED)
        if separator in (_TIGHT if tight else _WIDE):
            yield end + 1
        if gap is Gap.WORDS:
            yield from self._after_words(end)

    def _after_words(self, end: int) -> Iterator[int]:
        for _ in range(MOST_BETWEEN):
            word = _WORD_CHARACTERS.match(self.text, end + 1) if self.text[end : end + 1] in _TIGHT else None
            if word is None:
                return
            end = word.end()
            if self.text[end : end + 1] in _TIGHT:
                yield end + 1
