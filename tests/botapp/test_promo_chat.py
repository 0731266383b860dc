"""Promo codes in the chat: redeemed once, refused in words that tell a guesser nothing."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from botapp import updates
from botapp.models import IncomingUpdate
from tests.botapp.editing import balance
from tests.botapp.talking import Talk
from tests.factories import PromoCodeFactory

pytestmark = pytest.mark.django_db


def test_a_code_is_asked_for_and_redeemed(talk: Talk) -> None:
    PromoCodeFactory.create(code="SPRING", points=50)
    talk.do("message", text="/promo")
    assert "Send your promo code" in talk.text
    talk.do("message", text=" spring ")
    assert "+50 points" in talk.text
    assert "110 points" in talk.text
    assert balance(talk) == 110


def test_a_code_may_come_with_the_command(talk: Talk) -> None:
    PromoCodeFactory.create(code="SPRING", points=50)
    talk.do("message", text="/promo SPRING")
    assert balance(talk) == 110


def test_a_code_that_was_used_is_told_to_who_used_it(talk: Talk) -> None:
    PromoCodeFactory.create(code="SPRING", points=50)
    for _ in range(2):
        talk.do("message", text="/promo SPRING")
    assert "used this code already" in talk.text
    assert balance(talk) == 110


@pytest.mark.parametrize("code", ["WRONG", "OLD", "OFF", "EMPTY", "<b>", "🎁", "x" * 300])
def test_every_other_code_is_refused_in_the_same_words_and_asked_for_again(talk: Talk, code: str) -> None:
    PromoCodeFactory.create(code="OLD", expires_at=timezone.now() - timedelta(days=1))
    PromoCodeFactory.create(code="OFF", is_active=False)
    PromoCodeFactory.create(code="EMPTY", max_uses=1, uses=1)
    PromoCodeFactory.create(code="GOOD", points=5)
    talk.do("message", text="/promo")
    talk.do("message", text=code)
    assert "There is no such code, or it is no longer valid." in talk.text
    talk.do("message", text="good")
    assert balance(talk) == 65


def test_guessing_is_slowed(talk: Talk, settings: Any) -> None:
    settings.PROMO_RATE_LIMIT = "2/d"  # counted by the clock: a window seldom ends in between
    PromoCodeFactory.create(code="SPRING")
    for code in ("A", "B", "SPRING"):
        talk.do("message", text=f"/promo {code}")
    assert "Too often" in talk.text
    assert balance(talk) == 60


def test_a_code_for_many_uses_is_redeemed_once_by_an_update_that_is_answered_again(talk: Talk) -> None:
    PromoCodeFactory.create(code="MANY", points=50, uses_per_user=9)
    talk.telegram.fault(method="sendMessage", code=500, times=1)
    talk.do("message", text="/promo MANY")
    now = timezone.now()
    IncomingUpdate.objects.open().update(next_try_at=now)
    updates.sweep(now)
    assert "+50 points" in talk.text
    assert balance(talk) == 110


def test_photos_that_were_chosen_stay_chosen(talk: Talk, photo: str) -> None:
    talk.do("photo", data=photo)
    talk.do("message", text="/promo WRONG")
    assert updates.Chat.objects.get(pk=talk.user_id).draft["photos"]
