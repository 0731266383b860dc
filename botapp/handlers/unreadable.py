"""Messages that are neither words nor photos: each kind gets one short answer that says what to send instead.

What Telegram itself reports into a chat (a pinned message, a new picture, a timer) is nobody's words, and
gets none.
"""

from __future__ import annotations

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


def is_somebodys_words(message: Message) -> bool:
    """Tell whether a message is something a person sent, and not Telegram's report of what happened."""
    return answer_to(message) is not None


def refuse(turn: Turn) -> None:
    """Say what to send instead."""
    message = turn.message
    answer = answer_to(message) if message is not None else None
    if answer is not None:
        turn.say(turn.texts(f"unreadable.{answer}"), menu.to_menu(turn))


def answer_to(message: Message) -> str | None:
    """Return which of the answers a message gets, or None."""
    return next((answer for field, answer in ANSWERS.items() if getattr(message, field)), None)
