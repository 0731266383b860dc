"""A person's words as a wish: read and checked, or told from small talk. Knows no Telegram and no rows."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar

from jobs.policy import check_prompt
from jobs.wishes import LONGEST_PROMPT, SHORTEST_PROMPT, InvalidRequest, clean_prompt
from qwenedit.errors import DomainError

WORD = re.compile(r"\w+")
MOST_SMALL_TALK = 4  # words
SMALL_TALK = frozenset(
    WORD.findall(
        """
    привет приветик здравствуй здравствуйте здрасте добрый доброе доброго день утро вечер дня ночи хай алло ау
    спасибо благодарю пожалуйста ок окей ага да нет понятно ясно хорошо отлично круто супер класс пока
    как дела кто ты вы что умеешь бот старт меню помощь начать помоги
    hello hi hey hiya yo good morning evening afternoon day night thanks thank you thx please ok okay yes no
    cool great nice bye how are you who what can do bot start menu help there
    """
    )
)


class WordsTooShort(DomainError):
    """Too few characters for a wish."""

    code: ClassVar[str] = "words_too_short"


class WordsTooLong(DomainError):
    """More characters than a wish may have; `extra["count"]` says how many."""

    code: ClassVar[str] = "words_too_long"


class NoWords(DomainError):
    """Signs and pictures, but nothing to read."""

    code: ClassVar[str] = "no_words"


def read(text: str) -> str:
    """Return the wish in `text`. Raises WordsTooShort, WordsTooLong, NoWords or PromptRejected."""
    stripped = unicodedata.normalize("NFC", text).strip()
    if not any(letter.isalpha() for letter in stripped):
        raise NoWords("Say in words what to change.")
    if len(stripped) < SHORTEST_PROMPT:
        raise WordsTooShort("The wish is too short.", least=SHORTEST_PROMPT)
    if len(stripped) > LONGEST_PROMPT:
        raise WordsTooLong("The wish is too long.", count=len(stripped), most=LONGEST_PROMPT)
    try:
        words = clean_prompt(stripped)
    except InvalidRequest as error:
        raise NoWords(error.message) from error
    check_prompt(words)
    return words


def is_small_talk(text: str) -> bool:
    """Tell whether a text that came without a photo is no wish: a greeting, thanks, a sign."""
    found = WORD.findall(text.lower())
    return not any(word.isalpha() for word in found) or (
        len(found) <= MOST_SMALL_TALK and all(word in SMALL_TALK for word in found)
    )
