"""Inviting friends: the link, who came by it, what it has brought."""

from __future__ import annotations

from urllib.parse import urlencode

from django.conf import settings
from telegram import CopyTextButton, InlineKeyboardButton

from botapp import keyboards
from botapp.handlers.profile import way_back
from botapp.keyboards import link
from botapp.turn import Turn
from payments.referrals import earned
from qwenedit.users.models import Referral
from qwenedit.users.referrals import code_of

SHARE = "https://t.me/share/url"


def invite(turn: Turn) -> None:
    """Show the person's own link, and what it has brought so far."""
    texts = turn.texts
    address = turn.link(code_of(turn.user))
    share = f"{SHARE}?{urlencode({'url': address, 'text': texts('friends.share_text')})}"
    bonus = texts("menu.points", count=settings.REFERRAL_BONUS)
    offer = texts("friends.offer", points=bonus) if settings.REFERRAL_BONUS else texts("friends.no_offer")
    words = f"{offer}\n\n{texts('friends.link', link=address)}"
    came = Referral.objects.filter(inviter=turn.user).count()
    if came:
        points = texts("menu.points", count=earned(turn.user))
        words += "\n\n" + texts("friends.came", friends=texts("friends.count", count=came), points=points)
    turn.show(
        words,
        keyboards.rows(
            [link(texts("friends.share"), share)],
            [InlineKeyboardButton(texts("friends.copy"), copy_text=CopyTextButton(address))],
            way_back(texts),
        ),
    )
