"""The main menu, and the way back to an edit that had to wait for points."""

from typing import Any

import pytest
from django.core.checks import Tags, run_checks

from botapp.models import Order
from jobs.catalogue import read_catalogue
from jobs.catalogue_sync import sync_catalogue
from qwenedit.users.models import User
from tests.botapp.editing import WISH, balance
from tests.botapp.paying import buy, pay
from tests.botapp.talking import Talk
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


def test_questions_about_payments_have_an_address(talk: Talk, settings: Any) -> None:
    settings.SUPPORT_CONTACT = "@qwen_help"
    talk.do("message", text="/paysupport")
    assert "write to us: @qwen_help. Say when, how much, and your number" in talk.text


def test_without_an_address_nobody_is_told_to_write(talk: Talk) -> None:
    talk.do("message", text="/paysupport")
    assert "write to us" not in talk.text
    assert "once a day all payments are compared with the payment service" in talk.text


def test_production_without_an_address_for_questions_is_warned_of(settings: Any) -> None:
    def warned_of() -> bool:
        found = run_checks(tags=[Tags.security], include_deployment_checks=True)
        return "botapp.W001" in {message.id for message in found}

    assert warned_of()
    settings.SUPPORT_CONTACT = "@qwen_help"
    assert not warned_of()
