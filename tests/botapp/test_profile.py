"""The person's own page: what it shows, where it leads, and which language it speaks."""

from typing import Any

import pytest

from qwenedit.users.models import User
from tests.botapp.talking import Talk
from tests.factories import give_points

pytestmark = pytest.mark.django_db


def test_it_shows_the_balance_and_leads_everywhere(talk: Talk, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(first_name="<Alice>")
    talk.do("message", text="/menu")
    talk.tap("👤 Profile")
    assert talk.text == "👤 <Alice>\nYou have 60 points.\nThat is enough for 2 usual edits."
    for label in list(talk.labels):
        talk.do("message", text="/menu")
        talk.tap("👤 Profile")
        shown = talk.text
        talk.tap(label)
        assert talk.text != shown, label


def test_the_balance_has_a_command_of_its_own(talk: Talk, alice: User, settings: Any) -> None:
    talk.do("message", text="/balance")
    assert "60 points" in talk.text
    assert "💰 Top up" in talk.labels
    give_points(alice, -50)
    talk.do("message", text="/balance")
    assert talk.text == "You have 10 points."
    settings.EDIT_COST = 0
    talk.do("message", text="/balance")
    assert talk.text == "You have 10 points."


def test_the_language_is_changed_and_kept(talk: Talk, alice: User) -> None:
    talk.do("message", text="/language")
    talk.tap("Русский")
    assert talk.text == "Хорошо, дальше по-русски."
    assert "💰 Пополнить" in talk.labels
    talk.do("message", text="/balance")
    assert "60 баллов" in talk.text
    alice.refresh_from_db()
    assert alice.language == "ru"
    talk.do("message", text="/language")
    talk.tap("English")
    assert talk.text == "All right, English from now on."


def test_without_a_name_it_is_a_profile(talk: Talk, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(first_name="")
    talk.do("message", text="/menu")
    talk.tap("👤 Profile")
    assert talk.text.startswith("👤 Your profile")
