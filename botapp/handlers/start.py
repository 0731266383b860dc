"""The first words: /start, with or without an invitation."""

from __future__ import annotations

from django.conf import settings

from botapp.handlers import menu
from botapp.turn import Turn
from qwenedit.users import referrals


def start(turn: Turn) -> None:
    """Welcome somebody; who came by a friend's link is remembered as their guest, once."""
    turn.forget()
    inviter = None
    if turn.is_new and turn.argument:
        inviter = referrals.record(friend=turn.user, code=turn.argument)
    texts = turn.texts
    words: str = texts("menu.welcome", name=turn.user.first_name or texts("menu.friend"))
    if turn.is_new and turn.balance:
        words += "\n\n" + texts("menu.welcome_points", points=texts("menu.points", count=turn.balance))
    if inviter is not None and settings.REFERRAL_BONUS:
        words += "\n\n" + texts("menu.invited")
    turn.say(words, menu.keyboard(turn))
