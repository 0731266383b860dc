"""Messages that are neither words nor photos: each kind gets one short answer that says what to send instead.

What Telegram itself reports into a chat (a pinned message, a new picture, a timer) is nobody's words, and
gets none.
"""

from __future__ import annotations

from django.core.cache import cache
from redis.exceptions import RedisError
from telegram import Message

from botapp.handlers import menu
from botapp.turn import Turn

# Which field of a message makes it which kind. Of several that are set, the first decides: a venue is a
# location as well.
ANSWERS = {
    "sticker": "sticker",
    "voice": "voice",
    "video_note": "video",
    "animation": "animation",
    "video": "video",
    "audio": "audio",
    "contact": "contact",
    "venue": "location",
    "location": "location",
    "paid_media": "paid_media",
    "story": "story",
    "poll": "other",
    "dice": "other",
    "checklist": "other",
    "game": "other",
    "invoice": "other",
    "giveaway": "other",
    "giveaway_winners": "other",
}
ALBUM_SECONDS = 600


def is_somebodys_words(message: Message) -> bool:
    """Tell whether a message is something a person sent, and not Telegram's report of what happened."""
    return _answer_to(message) is not None


def refuse(turn: Turn) -> None:
    """Say what to send instead; to an album, once."""
    message = turn.message
    answer = _answer_to(message) if message is not None else None
    if message is None or answer is None or not _is_first_of_album(turn, message):
        return
    turn.say(turn.texts(f"unreadable.{answer}"), menu.to_menu(turn))


def _answer_to(message: Message) -> str | None:
    return next((answer for field, answer in ANSWERS.items() if getattr(message, field)), None)


def _is_first_of_album(turn: Turn, message: Message) -> bool:
    """Tell whether this update is the one of its album that is answered, now and when it is tried again."""
    if message.media_group_id is None:
        return True
    key = f"bot:unreadable:{turn.chat.pk}:{message.media_group_id}"
    try:
        return cache.get_or_set(key, turn.key, timeout=ALBUM_SECONDS) == turn.key
    except RedisError:
        return True  # better two answers than none
