"""What is neither words nor a photo gets one sensible answer; what Telegram reports itself gets none."""

from typing import Any

import pytest
from telegram import Message

from botapp.handlers import unreadable
from botapp.models import Chat, IncomingUpdate
from botapp.texts import Texts
from tests.botapp.talking import Talk
from tests.telegram import Telegram

USER = {"id": 5, "is_bot": False, "first_name": "Eve"}
FILE = {"file_id": "f", "file_unique_id": "u"}


@pytest.fixture
def talk(alice_chat: Chat, telegram: Telegram, valkey: Any) -> Talk:
    return Talk(telegram, alice_chat)


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("sticker", "I do not understand stickers, only photos and words."),
        ("voice", "Please write it instead."),
        ("video", "I edit photos, not videos yet."),
        ("animation", "I edit photos, not GIFs yet."),
        ("video_note", "I edit photos, not videos yet."),
        ("audio", "I do not edit sound"),
        ("contact", "I need no phone numbers"),
        ("location", "I can not read maps."),
        ("poll", "I can do nothing with that"),
        ("dice", "I can do nothing with that"),
    ],
)
def test_each_kind_is_told_what_to_send_instead(talk: Talk, action: str, answer: str) -> None:
    talk.do(action)
    [said] = talk.telegram.words(talk.user_id)
    assert answer in said
    assert talk.labels == ["☰ Menu"]
    assert IncomingUpdate.objects.get().outcome == "unreadable.refuse"


def test_the_answer_is_in_the_persons_language(bob_chat: Chat, telegram: Telegram) -> None:
    talk = Talk(telegram, bob_chat)
    talk.do("sticker")
    assert "Стикеры я не понимаю" in talk.text


def test_words_below_a_video_do_not_make_it_a_photo(talk: Talk) -> None:
    talk.do("video", caption="make it sunny")
    assert "not videos yet" in talk.text


def test_what_was_being_asked_for_is_still_asked_for(talk: Talk) -> None:
    Chat.objects.filter(pk=talk.user_id).update(step="promo", draft={"a": 1})
    talk.do("voice")
    chat = Chat.objects.get(pk=talk.user_id)
    assert (chat.step, chat.draft) == ("promo", {"a": 1})


def send(talk: Talk, content: dict[str, Any]) -> None:
    person = USER | {"id": talk.user_id}
    message = {"message_id": 50, "date": 1, "from": person, "chat": {"id": talk.user_id, "type": "private"}}
    talk.telegram.act("send_update", update={"message": message | content})
    talk.answer()


WORDS: dict[str, Any] = {
    "sticker": FILE | {"type": "regular", "width": 9, "height": 9, "is_animated": False, "is_video": False},
    "voice": FILE | {"duration": 1},
    "video_note": FILE | {"length": 9, "duration": 1},
    "animation": FILE | {"width": 9, "height": 9, "duration": 1},
    "video": FILE | {"width": 9, "height": 9, "duration": 1},
    "audio": FILE | {"duration": 1},
    "contact": {"phone_number": "+1", "first_name": "Eve"},
    "location": {"latitude": 1.0, "longitude": 2.0},
    "venue": {"location": {"latitude": 1.0, "longitude": 2.0}, "title": "Bar", "address": "Road 1"},
    "poll": {
        "id": "1",
        "question": "Which?",
        "options": [],
        "total_voter_count": 0,
        "is_closed": False,
        "is_anonymous": True,
        "type": "regular",
        "allows_multiple_answers": False,
        "allows_revoting": False,
        "members_only": False,
    },
    "dice": {"emoji": "🎯", "value": 6},
    "story": {"id": 1, "chat": {"id": 5, "type": "private"}},
    "paid_media": {"star_count": 1, "paid_media": [{"type": "preview"}]},
    "checklist": {"title": "List", "tasks": []},
    "game": {"title": "Game", "description": "Play", "photo": []},
    "invoice": {
        "title": "A",
        "description": "B",
        "start_parameter": "",
        "currency": "XTR",
        "total_amount": 1,
    },
    "giveaway": {"chats": [], "winners_selection_date": 1, "winner_count": 1},
    "giveaway_winners": {
        "chat": {"id": 5, "type": "private"},
        "giveaway_message_id": 1,
        "winners_selection_date": 1,
        "winner_count": 0,
        "winners": [],
    },
}
REPORTS: dict[str, Any] = {
    "pinned_message": {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}, "text": "hi"},
    "new_chat_title": "Title",
    "new_chat_photo": [FILE | {"width": 9, "height": 9}],
    "delete_chat_photo": True,
    "message_auto_delete_timer_changed": {"message_auto_delete_time": 60},
    "boost_added": {"boost_count": 1},
    "chat_background_set": {"type": {"type": "chat_theme", "theme_name": "🌷"}},
    "write_access_allowed": {},
    "users_shared": {"request_id": 1, "users": []},
    "web_app_data": {"data": "x", "button_text": "y"},
    "proximity_alert_triggered": {"traveler": USER, "watcher": USER, "distance": 5},
    "video_chat_started": {},
    "connected_website": "example.org",
    "something_that_telegram_adds_next_year": {"x": 1},
}


def received(field: str, content: Any) -> Message:
    """Return a message that holds one thing."""
    base = {"message_id": 1, "date": 1, "from": USER, "chat": {"id": 5, "type": "private"}}
    return Message.de_json(base | {field: content}, None)


@pytest.mark.parametrize("kind", unreadable.ANSWERS)
def test_what_a_person_sends_is_somebodys_words(kind: str) -> None:
    assert unreadable.is_somebodys_words(received(kind, WORDS[kind]))
    assert Texts("ru").has(f"unreadable.{unreadable.ANSWERS[kind]}")


@pytest.mark.parametrize("kind", REPORTS)
def test_what_telegram_reports_is_nobodys_words(kind: str) -> None:
    assert not unreadable.is_somebodys_words(received(kind, REPORTS[kind]))


def test_what_telegram_reports_is_not_answered(talk: Talk) -> None:
    for kind, content in REPORTS.items():
        send(talk, {kind: content})
    assert talk.telegram.calls("sendMessage") == []
    assert set(IncomingUpdate.objects.values_list("outcome", flat=True)) == {"nothing to answer"}
    assert IncomingUpdate.objects.count() == len(REPORTS)
