"""Invitations in the chat, from the link to the points of both."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from botapp.models import Chat, Delivery
from qwenedit.users.models import Referral, User
from qwenedit.users.referrals import code_of
from tests.botapp.editing import WISH, balance
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.telegram import Telegram

pytestmark = pytest.mark.django_db


@pytest.fixture
def friend(telegram: Telegram, talk: Talk) -> Talk:
    """Somebody who has not talked to the bot yet."""
    telegram.act("user", user_id=7007, first_name="Frida", language_code="en")
    return Talk(telegram, Chat(pk=7007))


def buttons(talk: Talk) -> dict[str, dict[str, Any]]:
    """Return the newest message's buttons by what stands on them."""
    return {button["label"]: button for row in talk.last["buttons"] for button in row}


def test_a_friend_comes_by_the_link_and_both_are_rewarded_after_the_first_edit(
    talk: Talk, friend: Talk, workers: Workers, node: Any, photo: str, alice: User
) -> None:
    talk.do("message", text="/invite")
    assert "you both get 30 points" in talk.text
    link = f"https://t.me/qwenedit_bot?start={code_of(alice)}"
    assert link in talk.text
    assert buttons(talk)["📋 Copy the link"]["copy_text"] == link
    share = parse_qs(urlsplit(buttons(talk)["📤 Send it to a friend"]["url"]).query)
    assert share["url"] == [link]

    friend.do("message", text=f"/start {code_of(alice)}")
    assert "A friend invited you" in friend.text
    assert (balance(talk), balance(friend)) == (60, 60)

    friend.do("photo", data=photo, caption=WISH)
    workers.finish()
    workers.send()
    assert (balance(talk), balance(friend)) == (90, 60)
    assert Delivery.objects.filter(kind="referral").count() == 2
    assert "The friend you invited made a first edit: +30 points" in talk.text

    friend.do("photo", data=photo, caption=WISH)
    workers.finish()
    assert (balance(talk), balance(friend)) == (90, 30)
    talk.do("message", text="/invite")
    assert "It has brought 1 friend. You got 30 points for it." in talk.text


@pytest.mark.parametrize("payload", ["topup", "A" * 16, "<b>", "\N{SNOWMAN}", "x" * 64])
def test_a_broken_invitation_is_a_welcome_all_the_same(friend: Talk, payload: str) -> None:
    friend.do("message", text=f"/start {payload}")
    assert "Hello, Frida!" in friend.text
    assert not Referral.objects.exists()


def test_somebody_who_knows_the_bot_is_nobodys_friend(talk: Talk, bob: User) -> None:
    talk.do("message", text=f"/start {code_of(bob)}")
    assert not Referral.objects.exists()


def test_where_there_is_no_bonus_none_is_promised(talk: Talk, settings: Any) -> None:
    settings.REFERRAL_BONUS = 0
    talk.do("message", text="/invite")
    assert "no bonus" in talk.text
