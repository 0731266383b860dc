"""The main menu, and the way back to an edit that had to wait for points."""

from typing import Any

import pytest

from botapp.models import Order
from jobs.catalogue import read_catalogue
from jobs.catalogue_sync import sync_catalogue
from qwenedit.users.models import User
from tests.botapp.editing import WISH, balance
from tests.botapp.talking import Talk
from tests.botapp.test_stars_chat import buy, pay
from tests.botapp.workers import Workers

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_main_menu_names_every_section_once(talk: Talk) -> None:
    sync_catalogue(read_catalogue())
    talk.do("message", text="/menu")
    assert talk.labels == [
        "🎨 Art styles",
        "🧝 New look",
        "👕 Fitting room",
        "✨ Edit photo",
        "✍️ Own prompt",
        "📚 Knowledge base",
        "👤 Profile",
        "ℹ️ Help",
    ]


def test_who_topped_up_for_an_edit_finds_the_way_back_to_it(
    talk: Talk, photo: str, workers: Workers, settings: Any
) -> None:
    settings.EDIT_COST = 500
    talk.do("photo", data=photo, caption=WISH)
    talk.tap("💰 Top up")
    buy(talk)
    pay(talk)
    workers.send()
    assert "Your payment arrived" in talk.text

    talk.tap("▶️ Back to my edit")
    assert f"✍️ {WISH}" in talk.text
    assert "You have 1060 points, 560 will be left" in talk.text
    talk.tap("✅ Edit")
    assert Order.objects.get().prompt == WISH


def test_a_payment_that_no_edit_waited_for_leads_to_the_menu_alone(talk: Talk, workers: Workers) -> None:
    buy(talk)
    pay(talk)
    workers.send()
    assert talk.labels == ["☰ Menu"]


def test_a_blocked_person_is_told_whom_to_ask(talk: Talk, settings: Any, valkey: Any) -> None:
    settings.SUPPORT_CONTACT = "@qwen_help"
    User.objects.filter(telegram_id=talk.user_id).update(is_blocked=True)
    talk.do("message", text="hello")
    assert talk.text == "This account is blocked, so I can not answer.\n\nQuestions: @qwen_help"
    assert balance(talk) == 60
