"""Registration: one person is one user, however often and however simultaneously they come."""

from functools import partial

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from payments.models import LedgerEntry
from qwenedit.users.models import User
from qwenedit.users.services import register_api_user, register_telegram_user
from tests.factories import UserFactory
from tests.threads import at_once, errors


@pytest.mark.django_db
class TestRegisterTelegramUser:
    """People who write to the bot."""

    def test_the_first_message_makes_a_user(self) -> None:
        user, created = register_telegram_user(telegram_id=42, first_name="Анна", language="ru-RU")
        assert created
        assert (user.telegram_id, user.first_name, user.language) == (42, "Анна", "ru")
        assert not user.has_usable_password()
        assert User.objects.get(telegram_id=42).balance == 60

    def test_the_second_message_finds_them(self) -> None:
        first, _ = register_telegram_user(telegram_id=42, first_name="Анна", language="ru")
        again, created = register_telegram_user(telegram_id=42, first_name="Anna", language="en")
        assert (again, created) == (first, False)
        assert (again.first_name, again.language) == ("Анна", "ru")
        assert LedgerEntry.objects.filter(user=first).count() == 1

    @pytest.mark.parametrize(
        ("language", "expected"), [("ru", "ru"), ("en", "en"), ("pt-BR", "en"), ("", "en")]
    )
    def test_the_language_is_russian_or_english(self, language: str, expected: str) -> None:
        assert register_telegram_user(telegram_id=1, language=language)[0].language == expected

    def test_a_long_name_is_cut(self) -> None:
        user, _ = register_telegram_user(telegram_id=1, first_name="x" * 400)
        assert User.objects.get(pk=user.pk).first_name == "x" * 150

    def test_a_name_that_somebody_else_has_keeps_nobody_out(self) -> None:
        squatter = UserFactory.create(username="telegram-42", telegram_id=None)
        user, created = register_telegram_user(telegram_id=42)
        assert created
        assert user != squatter
        assert user.username.startswith("telegram-42-")
        assert register_telegram_user(telegram_id=42) == (user, False)


@pytest.mark.django_db
class TestRegisterApiUser:
    """Integrators who have a name and keys."""

    def test_a_new_name_makes_a_user_without_a_password(self) -> None:
        user, created = register_api_user(username="shop@example.com")
        assert created
        assert not user.has_usable_password()
        assert user.balance == 60

    def test_a_known_name_finds_its_user(self) -> None:
        first, _ = register_api_user(username="shop")
        assert register_api_user(username="shop") == (first, False)

    @pytest.mark.parametrize("username", ["", "two words", "x" * 151, "semi;colon", "new\nline", "nul\0"])
    def test_a_name_that_django_would_refuse_is_refused(self, username: str) -> None:
        with pytest.raises(ValidationError):
            register_api_user(username=username)
        assert not User.objects.exists()

    def test_names_that_look_the_same_are_the_same(self) -> None:
        first, _ = register_api_user(username="shop")
        assert register_api_user(username="ｓｈｏｐ") == (first, False)


class TestAtOnce:
    """Real threads on both databases."""

    def test_twenty_first_messages_of_one_person_make_one_user(self, each_database: str) -> None:
        outcomes = at_once(*[partial(register_telegram_user, telegram_id=42, first_name="Anna")] * 20)
        assert errors(outcomes) == []
        created = [outcome[1] for outcome in outcomes if isinstance(outcome, tuple)]
        assert created.count(True) == 1
        assert User.objects.get().balance == 60
        assert LedgerEntry.objects.count() == 1

    def test_so_do_twenty_keys_for_one_name(self, each_database: str) -> None:
        outcomes = at_once(*[partial(register_api_user, username="shop")] * 20)
        assert errors(outcomes) == []
        assert User.objects.count() == LedgerEntry.objects.count() == 1

    def test_different_people_all_come_in(self, each_database: str) -> None:
        outcomes = at_once(*(partial(register_telegram_user, telegram_id=number) for number in range(1, 11)))
        assert errors(outcomes) == []
        assert sorted(User.objects.values_list("telegram_id", "balance")) == [(n, 60) for n in range(1, 11)]

    def test_a_lost_race_leaves_the_callers_transaction_usable(self, each_database: str) -> None:
        def register() -> int:
            with transaction.atomic():
                user, _ = register_telegram_user(telegram_id=42)
                return User.objects.filter(pk=user.pk).count()

        assert at_once(*[register] * 10) == [1] * 10
