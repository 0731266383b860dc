"""What comes in is kept once, answered in order, and answered at last whatever dies on the way."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from telegram import Update

from botapp import application, updates
from botapp.models import Chat, IncomingUpdate
from botapp.turn import Turn
from qwenedit.users.models import User
from tests.botapp.incoming import message, press
from tests.telegram import Telegram
from tests.threads import at_once, errors
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db
GROUP = -1_000_000_000_500
Meet = Callable[[User], Chat]


def test_a_message_is_answered_and_what_it_said_is_not_kept(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    update = message(alice, "/menu")
    updates.handle_update(update)
    assert "What shall we do?" in telegram.words(alice_chat.pk)[-1]
    row = IncomingUpdate.objects.get(pk=update["update_id"])
    assert row.processed_at is not None
    assert (row.outcome, row.body) == ("menu.main", {})


def test_an_update_that_is_delivered_again_is_answered_once(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    update = message(alice, "/menu")
    for _ in range(3):
        updates.handle_update(update)
    assert len(telegram.calls("sendMessage", chat_id=alice_chat.pk)) == 1


def test_the_first_message_makes_a_user_who_speaks_their_language(telegram: Telegram, db: None) -> None:
    telegram.act("user", user_id=77, first_name="Вера", language_code="ru")
    telegram.act("message", user_id=77, text="/start")
    stranger = User(telegram_id=77, first_name="Вера <b>", language="ru")
    updates.handle_update(message(stranger, "/start"))
    chat = Chat.objects.select_related("user").get(pk=77)
    assert (chat.user.language, chat.user.first_name, chat.user.balance) == ("ru", "Вера <b>", 60)
    assert "Здравствуйте, Вера &lt;b&gt;" not in telegram.words(77)[-1]
    assert "Здравствуйте, Вера <b>" in telegram.words(77)[-1]
    assert "60 баллов" in telegram.words(77)[-1]


def test_a_chat_is_answered_in_the_order_of_its_updates(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    early, late = message(alice, "/menu"), message(alice, "/help")
    updates.keep(late)
    updates.keep(early)
    updates.take(alice_chat.pk)
    said = telegram.words(alice_chat.pk)[-2:]
    assert "What shall we do?" in said[0]
    assert "How it works" in said[1]


@pytest.mark.postgres
def test_updates_of_one_chat_at_once_are_answered_one_after_another_each_once(
    alice: User, meet: Meet, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = meet(alice)
    inside, most, lock = 0, 0, threading.Lock()

    def slow(turn: Turn) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        turn.say("Hello")
        with lock:
            inside -= 1

    monkeypatch.setitem(application.COMMANDS, "menu", slow)
    batch = [message(alice, "/menu") for _ in range(12)]
    outcomes = at_once(*(lambda update=update: updates.handle_update(update) for update in batch))
    assert errors(outcomes) == []
    wait_until(lambda: not IncomingUpdate.objects.open().exists())
    assert most == 1
    assert len(telegram.calls("sendMessage", chat_id=chat.pk)) == len(batch)
    assert set(IncomingUpdate.objects.values_list("outcome", "tries")) == {("test_updates.slow", 1)}


@pytest.mark.postgres
def test_a_slow_chat_holds_nobody_else_up(
    alice: User, bob: User, meet: Meet, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(alice), meet(bob)
    may_end = threading.Event()

    def held(turn: Turn) -> None:
        if turn.user == alice:
            assert may_end.wait(30)
        turn.say("Hello")

    monkeypatch.setitem(application.COMMANDS, "menu", held)

    def hold() -> None:
        try:
            updates.handle_update(message(alice, "/menu"))
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        wait_until(lambda: Chat.objects.get(pk=alice.telegram_id).lease_token is not None)
        updates.handle_update(message(bob, "/menu"))
        assert telegram.words(bob.telegram_id)[-1] == "Hello"  # type: ignore[arg-type]
    finally:
        may_end.set()
        thread.join(30)


def test_what_a_dead_process_left_behind_is_answered_by_the_sweep(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    updates.keep(message(alice, "/menu"))
    now = timezone.now()
    assert updates.sweep(now) == 0  # the process that kept it may still be at it
    Chat.objects.filter(pk=alice_chat.pk).update(
        lease_token="6b1b36cb-7aa8-4ef0-9b8d-5d1a61d7a0b2", lease_until=now + timedelta(seconds=5)
    )
    later = now + updates.GRACE + timedelta(seconds=1)
    updates.sweep(later)
    assert telegram.said(alice_chat.pk) == []  # the lease of the dead still holds
    Chat.objects.update(lease_until=now)
    updates.sweep(later)
    assert len(telegram.said(alice_chat.pk)) == 1


def test_an_answer_that_telegram_could_not_take_is_given_later_and_nothing_overtakes_it(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    telegram.fault(method="sendMessage", code=502)
    updates.handle_update(message(alice, "/menu"))
    updates.handle_update(message(alice, "/help"))
    assert telegram.said(alice_chat.pk) == []
    IncomingUpdate.objects.open().update(next_try_at=timezone.now())
    updates.sweep(timezone.now())
    assert ["What shall we do?" in words for words in telegram.words(alice_chat.pk)] == [True, False]


def test_telegram_s_wish_to_be_left_alone_is_obeyed(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    telegram.fault(method="sendMessage", code=429, retry_after=40)
    update = message(alice, "/menu")
    updates.handle_update(update)
    row = IncomingUpdate.objects.get(pk=update["update_id"])
    assert row.processed_at is None
    assert timedelta(seconds=30) < row.next_try_at - timezone.now() <= timedelta(seconds=40)


def test_somebody_who_blocked_the_bot_is_remembered_as_gone_until_they_write(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    telegram.act("block", user_id=alice_chat.pk)
    updates.handle_update(message(alice, "/menu"))
    alice_chat.refresh_from_db()
    assert alice_chat.gone_at is not None
    telegram.act("unblock", user_id=alice_chat.pk)
    updates.handle_update(message(alice, "/menu"))
    alice_chat.refresh_from_db()
    assert alice_chat.gone_at is None


def test_a_mistake_of_ours_is_admitted_once_and_the_next_update_goes_on(
    alice_chat: Chat, alice: User, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(turn: Turn) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(application.COMMANDS, "help", broken)
    update = message(alice, "/help")
    updates.handle_update(update)
    updates.handle_update(message(alice, "/menu"))
    said = telegram.words(alice_chat.pk)
    assert "went wrong on our side" in said[0]
    assert "What shall we do?" in said[1]
    assert IncomingUpdate.objects.get(pk=update["update_id"]).outcome == "failed: ZeroDivisionError"


UNREADABLE = {"id": "1", "question": "?", "options": []}  # a poll without what the library demands of one


def test_an_update_that_nobody_can_read_holds_up_nothing(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    update = message(alice, "", poll=UNREADABLE)
    updates.handle_update(update)
    updates.handle_update(message(alice, "/menu"))
    assert "What shall we do?" in telegram.words(alice_chat.pk)[-1]
    assert IncomingUpdate.objects.get(pk=update["update_id"]).outcome.startswith("unreadable")


def test_a_stranger_s_update_that_nobody_can_read_holds_up_no_sweep(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    updates.keep(message(User(telegram_id=79, first_name="Zed"), "", poll=UNREADABLE))
    updates.keep(message(alice, "/menu"))
    updates.sweep(timezone.now() + timedelta(minutes=1))
    assert "What shall we do?" in telegram.words(alice_chat.pk)[-1]
    assert not IncomingUpdate.objects.open().exists()


@pytest.mark.postgres
def test_an_update_that_no_database_keeps_is_let_go(alice: User, telegram: Telegram) -> None:
    assert updates.keep(message(alice, "/menu") | {"update_id": 10**30}) is None


@pytest.mark.postgres
def test_characters_that_no_database_keeps_are_dropped(alice: User, meet: Meet, telegram: Telegram) -> None:
    chat = meet(alice)
    updates.handle_update(message(alice, "/me\0nu\ud800"))
    assert "What shall we do?" in telegram.words(chat.pk)[-1]


def test_an_update_that_kills_its_process_is_given_up_after_some_tries(
    alice_chat: Chat, alice: User, telegram: Telegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The process dies here."""

    def deadly(turn: Turn) -> None:
        raise Killed

    monkeypatch.setitem(application.COMMANDS, "help", deadly)
    update = message(alice, "/help")
    updates.keep(update)
    for _ in range(updates.MOST_TRIES):
        IncomingUpdate.objects.update(next_try_at=timezone.now())
        with pytest.raises(Killed):
            updates.take(alice_chat.pk)
    IncomingUpdate.objects.update(next_try_at=timezone.now())
    updates.handle_update(message(alice, "/menu"))
    assert "What shall we do?" in telegram.words(alice_chat.pk)[-1]
    assert IncomingUpdate.objects.get(pk=update["update_id"]).outcome == "given up"


def test_a_blocked_person_is_refused_politely_and_once(
    alice_chat: Chat, alice: User, telegram: Telegram, valkey: Any
) -> None:
    User.objects.filter(pk=alice.pk).update(is_blocked=True)
    for _ in range(3):
        updates.handle_update(message(alice, "/menu"))
    [words] = telegram.words(alice_chat.pk)
    assert "blocked" in words


def test_a_flood_is_slowed_and_not_answered_a_thousand_times(
    alice_chat: Chat, alice: User, telegram: Telegram, valkey: Any, settings: Any
) -> None:
    settings.BOT_RATE_LIMIT = "5/d"  # counted by the clock: a window seldom ends in between
    for _ in range(40):
        updates.handle_update(message(alice, "/cancel"))
    said = telegram.words(alice_chat.pk)
    assert len(said) == 6
    assert any("Too fast" in words for words in said)


def test_a_group_is_told_where_the_bot_works_and_what_people_say_there_is_let_pass(
    alice: User, telegram: Telegram, valkey: Any
) -> None:
    telegram.act("user", user_id=alice.telegram_id, first_name="Alice")
    telegram.act("group", user_id=alice.telegram_id, chat_id=GROUP, text="hello")
    group = {"id": GROUP, "type": "group", "title": "Friends"}
    updates.handle_update(message(alice, "hello everybody", chat=group))
    assert telegram.calls("sendMessage") == []
    updates.handle_update(message(alice, "/start", chat=group))
    updates.handle_update(message(alice, "/start", chat=group))
    [call] = telegram.calls("sendMessage")
    assert "private" in call["parameters"]["text"]
    assert not Chat.objects.exists()


@pytest.mark.postgres
def test_what_comes_from_a_group_is_answered_by_one_thread_alone(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []

    def slow(update: Update) -> str:
        answered.append(update.update_id)
        time.sleep(0.2)
        return "answered"

    monkeypatch.setattr(application, "answer_elsewhere", slow)
    update = message(alice, "/start", chat={"id": GROUP, "type": "group", "title": "Friends"})
    updates.keep(update)
    assert errors(at_once(*[lambda: updates.take(GROUP)] * 4)) == []
    assert answered == [update["update_id"]]


@pytest.mark.parametrize("strange", [{}, {"update_id": 5}, {"update_id": 6, "poll": {"id": "1"}}])
def test_what_is_from_no_chat_is_let_pass(strange: dict[str, Any], db: None) -> None:
    updates.handle_update(strange)
    assert not IncomingUpdate.objects.exists()


def test_a_button_of_an_older_version_says_so(alice_chat: Chat, alice: User, telegram: Telegram) -> None:
    telegram.act("message", user_id=alice_chat.pk, text="hi")
    updates.handle_update(press(alice, "gone:1", message_id=1))
    [call] = telegram.calls("answerCallbackQuery")
    assert call["parameters"]["callback_query_id"]


def test_old_updates_are_forgotten_once_telegram_can_not_repeat_them(
    alice_chat: Chat, alice: User, telegram: Telegram
) -> None:
    updates.handle_update(message(alice, "/menu"))
    now = timezone.now()
    assert updates.purge(now) == 0
    assert updates.purge(now + updates.KEPT + timedelta(seconds=1)) == 1
