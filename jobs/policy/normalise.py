"""Brings a prompt to the one spelling that the policy's patterns are written against.

It owns what can be done to letters without changing what a person reads: case, width, accents, invisible
characters, emoji between letters, letters spelled apart, stretched letters, and which glyphs pass for which
letter, by their look or by their sound. It knows no rule and no language beyond its alphabet.

The normalised text consists of lower-case letters and digits, the symbols of `SYMBOLS` where they may stand
for a letter, `#` for a digit that may not, and exactly one separator between words:

    " "  ordinary space
    "·"  something without a space: a hyphen, a slash, an emoji, or the gap inside a word spelled apart
    "."  punctuation beside a space, or a dash between spaces: a phrase may end here
"""

import re
import unicodedata
from itertools import groupby

SYMBOLS = "@$€!|*"
"""Symbols that may stand for a letter; `*` may stand for any."""

LOOKALIKES: dict[str, str] = {
    # What may stand for a Latin letter.
    "a": "аαɑ@4",
    "b": "вьβ8",
    "c": "сσ",
    "d": "ԁδ",
    "e": "еєεэ3€",
    "g": "9",
    "h": "нһ",
    "i": "іιӏl1!|",
    "j": "ј",
    "k": "кκ",
    "l": "іӏi1!|",
    "m": "мμ",
    "n": "пηո",
    "o": "оοσ0",
    "p": "рρ",
    "q": "ԛ",
    "r": "г",
    "s": "ѕ5$",
    "t": "тτ7",
    "u": "иυμսv",
    "v": "νѵ",
    "w": "шωѡԝ",
    "x": "хχ",
    "y": "уγү",
    "z": "з2",
    # What may stand for a Cyrillic letter.
    "а": "aαɑ@4",
    "б": "b6",
    "в": "bβ8",
    "г": "rγ",
    "д": "dgԁ",
    "е": "eєε3€",
    "з": "z3",
    "и": "йuіi1!|",
    "й": "иu",
    "к": "kκ",
    "л": "λ",
    "м": "mμ",
    "н": "hnһ",
    "о": "oοσ0",
    "п": "nπ",
    "р": "pρ",
    "с": "cσ",
    "т": "tτ7",
    "у": "yγү",
    "ф": "φ",
    "х": "xχ",
    "ч": "4",
    "ш": "wω",
    "ъ": "ь",
    "ь": "bъ",
    "э": "є3",
}
"""Glyphs, as they are after folding, that pass for a letter in print, in italics or in leetspeak."""

SOUNDALIKES: dict[str, str] = {
    "b": "б",
    "d": "д",
    "f": "ф",
    "g": "г",
    "l": "л",
    "n": "н",
    "p": "п",
    "r": "р",
    "s": "с",
    "u": "у",
    "v": "в",
    "в": "v",
    "г": "g",
    "л": "l",
    "п": "p",
    "р": "r",
    "с": "s",
    "у": "u",
    "ф": "f",
}
"""Letters of the other alphabet that sound alike.

They pass for each other only in a word of both alphabets (`nакед`): in one alphabet they spell words of their
own, as `пиде`, a Turkish bread, would otherwise be read `nude`.
"""

_LETTER = r"[^\W\d_]"
_INVISIBLE = frozenset({"Mn", "Me", "Cf", "Cc"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")
_APOSTROPHES = frozenset("'’‘ʼ`´ʹ′")
_SENTENCE = ".,;:!?"
_DASHES = "-–—"
_LONGEST_MASK = 2
_DRAWN_LATIN = re.compile(
    r"LATIN LETTER SMALL CAPITAL ([A-Z])"
    r"|(?:REGIONAL INDICATOR SYMBOL|NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL) LETTER ([A-Z])"
)


class _Folding(dict[int, str]):
    """Folds one character at a time, and remembers it: `str.translate` asks again for none it has seen."""

    def __missing__(self, code: int) -> str:
        folded = self[code] = _fold_character(chr(code))
        return folded


def _fold_character(character: str) -> str:
    category = unicodedata.category(character)
    if character.isspace():
        return " "
    if category in _INVISIBLE or character in _BLANK_LETTERS or character in _APOSTROPHES:
        return ""
    name = unicodedata.name(character, "")
    if drawn := _DRAWN_LATIN.fullmatch(name):
        return (drawn[1] or drawn[2]).lower()
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category[0] == "L":
        return _without_marks(character, name)
    return character if character in SYMBOLS + _SENTENCE + _DASHES else "·"


def _without_marks(letter: str, name: str) -> str:
    # The breve of й makes another letter of it, unlike every other mark of the two alphabets.
    if letter == "й":
        return letter
    base = unicodedata.normalize("NFD", letter)[0]
    if base != letter:
        return base
    try:
        return unicodedata.lookup(name.partition(" WITH ")[0]) if " WITH " in name else letter
    except KeyError:
        return letter


_FOLDING = _Folding()

_SPELLED = re.compile(
    r"(?<![^\W_])([^\W_]|[@$])\1*(?:(?:[^\w@$]|_){1,6}([^\W_]|[@$])\2*(?![^\W_])){2,}",
)
_SPELLED_LETTERS = re.compile(r"[^\W_]|[@$]")
_STRETCHED = re.compile(rf"({_LETTER})\1{{2,}}")
_SYMBOLS = re.compile(rf"[{re.escape(SYMBOLS)}]+")
_SEPARATOR = re.compile(rf"(?:[^\w{re.escape(SYMBOLS)}]|_)+")
_CHUNK = re.compile(rf"[\w·{re.escape(SYMBOLS)}]+")
_DIGITS_AS_NUMBERS = str.maketrans("0123456789", "#" * 10)


def fold(text: str) -> str:
    """Return `text` in compatibility form, lower case, without accents and invisible characters.

    `ё` becomes `е`, `й` stays. What is neither a letter, a digit, one of `SYMBOLS` nor the punctuation of a
    sentence becomes `·`.
    """
    compatible = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return compatible.translate(_FOLDING)


def normalise(text: str) -> str:
    """Return `text` in the alphabet of this module's docstring.

    Three or more single letters in a row are taken for one word spelled apart; longer pieces are never joined
    over a space, because ordinary neighbours would then make words that nobody wrote.
    """
    folded = _SPELLED.sub(_join_spelled, fold(text))
    folded = _SYMBOLS.sub(_symbols_or_separator, folded)
    folded = _STRETCHED.sub(r"\1\1", folded)
    folded = _SEPARATOR.sub(_separator, folded)
    return _CHUNK.sub(_numbers_apart, folded).strip(" .·")


def _join_spelled(spelled: re.Match[str]) -> str:
    letters = _SPELLED_LETTERS.findall(spelled[0])
    if 2 * sum(letter.isdigit() for letter in letters) > len(letters):
        return spelled[0]
    return "·".join(letter for letter, run in groupby(letters) for letter in list(run)[:2])


def _symbols_or_separator(symbols: re.Match[str]) -> str:
    """Keep symbols where letters could be: `@` beside one, `!` inside a word, a mask between letters."""
    written, text = symbols[0], symbols.string
    before, after = text[symbols.start() - 1 : symbols.start()], text[symbols.end() : symbols.end() + 1]
    if "*" in written:
        kept = len(written) <= _LONGEST_MASK and before.isalpha() and after.isalpha()
    elif "!" in written or "|" in written:
        kept = len(written) <= _LONGEST_MASK and before.isalnum() and after.isalnum()
    else:
        kept = any(side.isalnum() or side == "·" for side in (before, after))
    if kept:
        return written
    return "." if "!" in written else "·"


def _separator(separator: re.Match[str]) -> str:
    characters = separator[0]
    if " " not in characters and separator.end() < len(separator.string):
        return "·"
    if any(mark in characters for mark in _SENTENCE + _DASHES):
        return "."
    return " "


def _numbers_apart(chunk: re.Match[str]) -> str:
    """Turn the digits of `53x` and `A55` into `#`: more digits than letters is a number, not a disguise."""
    letters = sum(character.isalpha() for character in chunk[0])
    digits = sum(character.isdigit() for character in chunk[0])
    return chunk[0].translate(_DIGITS_AS_NUMBERS) if 0 < letters < digits else chunk[0]
