"""Pressed buttons and their answers, and waiting for what the bot sends."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.sandbox.telegram.driving import PlainBot, as_text, keyboard, picture
from tests.servers import TelegramServer

TOO_OLD = "Bad Request: query is too old and response timeout expired or query ID is invalid"


class Doing(threading.Thread):
    """Something a person does while the bot works; `result` joins it."""

    def __init__(self, do: Callable[..., dict[str, Any]], *arguments: Any, **more: Any) -> None:
        super().__init__()
        self._do = lambda: do(*arguments, **more)
        self._answer: dict[str, Any] = {}
        self.start()

    def run(self) -> None:
        self._answer = self._do()

    def result(self) -> dict[str, Any]:
        self.join()
        return self._answer


def test_a_tap_is_answered(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    sent = bot.send(alice, "choose", reply_markup=keyboard("Watercolour", "Oil"))
    tap = Doing(server.act, "tap", user_id=alice, label="Oil")
    (update,) = bot.updates(timeout=10)
    query = update["callback_query"]
    assert (query["data"], query["from"]["id"], query["message"]["message_id"]) == (
        "Oil",
        alice,
        sent["message_id"],
    )
    given = {"callback_query_id": query["id"], "text": "Painting", "show_alert": True}
    assert bot.ok("answerCallbackQuery", **given) is True
    answer = {"text": "Painting", "show_alert": True}
    assert tap.result() == {"update_id": update["update_id"], "answer": answer}
    (toast,) = server.chat(alice)["toasts"]
    assert (toast["text"], toast["show_alert"]) == ("Painting", True)
    assert bot.refused("answerCallbackQuery", **given) == TOO_OLD
    assert bot.refused("answerCallbackQuery", callback_query_id="1") == TOO_OLD


def test_an_answer_of_the_bot_has_a_limit(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    bot.send(alice, "choose", reply_markup=keyboard("a"))
    server.act("tap", user_id=alice, data="a", wait=False)
    query = bot.updates()[0]["callback_query"]["id"]
    refusal = bot.refused("answerCallbackQuery", callback_query_id=query, text="x" * 201)
    assert refusal == "Bad Request: MESSAGE_TOO_LONG"
    assert bot.ok("answerCallbackQuery", callback_query_id=query, text="x" * 200)


def test_two_taps_come_at_once_and_a_stranger_may_tap(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    bot.send(alice, "choose", reply_markup=keyboard("a"))
    tap = Doing(server.act, "tap", user_id=alice, label="a", times=2, as_user=77)
    updates: list[dict[str, Any]] = []
    while len(updates) < 2:
        updates += bot.updates(timeout=10)
    for number, update in enumerate(updates):
        assert update["callback_query"]["from"]["id"] == 77
        given = {"callback_query_id": update["callback_query"]["id"], "text": str(number)}
        bot.ok("answerCallbackQuery", **given)
    assert [answer["text"] for answer in tap.result()["answers"]] == ["0", "1"]


def test_the_newest_message_with_the_button_is_meant(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    old = bot.send(alice, "old", reply_markup=keyboard("Again"))["message_id"]
    bot.send(alice, "new", reply_markup=keyboard("🔁 Again!"))
    bot.send(alice, "none")
    for given, text in [({}, "old"), ({"message_id": old}, "old")]:
        server.act("tap", user_id=alice, label="Again", wait=False, **given)
        assert bot.updates()[-1]["callback_query"]["message"]["text"] == text
    server.act("tap", user_id=alice, label="🔁", wait=False)
    assert bot.updates()[-1]["callback_query"]["message"]["text"] == "new"
    with pytest.raises(requests.HTTPError, match="there is no button 'Nothing'"):
        server.act("tap", user_id=alice, label="Nothing")


def test_buttons_that_the_bot_does_not_hear_of(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    row = [{"text": "Site", "url": "https://example.com/a"}, {"text": "Code", "copy_text": {"text": "GIFT"}}]
    bot.send(alice, "x", reply_markup={"inline_keyboard": [row]})
    assert server.act("tap", user_id=alice, label="Site")["url"] == "https://example.com/a"
    assert server.act("tap", user_id=alice, label="Code")["copied"] == "GIFT"
    assert bot.updates() == []


def test_wait_sees_what_is_sent_and_what_is_edited(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    asked = server.act("message", user_id=alice, text="hello")["message_id"]
    waiting = Doing(server.act, "wait", user_id=alice, after=asked, contains="ГОТОВО")
    sent = bot.send(alice, "working")
    place = {"chat_id": alice, "message_id": sent["message_id"]}
    bot.ok("editMessageText", **place, text="Готово!", reply_markup=keyboard("📎 File"))
    seen = waiting.result()
    assert (seen["message_id"], seen["text"]) == (sent["message_id"], "Готово!")
    assert server.act("wait", user_id=alice, button="File", after=sent["message_id"])["text"] == "Готово!"
    assert server.act("wait", user_id=alice, has="buttons")["text"] == "Готово!"
    bot.send_photo(alice, picture())
    assert "photo" in server.act("wait", user_id=alice, has="photo")
    with pytest.raises(requests.HTTPError, match=r"no message with .*'document'(.|\n)*Alice: hello"):
        server.act("wait", user_id=alice, has="document", timeout=0.1)
    newest = server.chat(alice)["events"]
    with pytest.raises(requests.HTTPError, match="no message"):
        server.act("wait", user_id=alice, after=newest, timeout=0.1)


def test_a_chat_can_be_waited_for(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    before = server.chat(alice)["events"]
    assert server.chat(alice, after=before, wait=0.1)["events"] == before
    waiting = Doing(server.chat, alice, after=before, wait=20)
    bot.send(alice, "news")
    assert waiting.result()["messages"][-1]["text"] == "news"


def test_the_transcript_is_for_people(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    server.act("photo", user_id=alice, data=as_text(picture()), caption="please")
    bot.send(alice, "here\nyou are", reply_markup=keyboard("One", "Two"))
    text = requests.get(f"{server.url}/sandbox/chats/{alice}?format=text", timeout=10).text
    assert "Alice: <photo 640x480> please\n" in text
    assert "bot: here\n        you are\n        [One]  [Two]\n" in text
    assert requests.get(f"{server.url}/sandbox/chats/123", timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("action", "arguments", "complaint"),
    [
        ("fly", {}, "unknown action 'fly'"),
        ("message", {"user_id": "5", "text": "x"}, "user_id cannot be '5'"),
        ("message", {"user_id": 5}, "missing a required argument: 'text'"),
        ("message", {"user_id": 5, "text": "x", "colour": "red"}, "unexpected keyword argument 'colour'"),
        ("message", {"user_id": 5, "text": " "}, "a text has 1 to 4096 characters"),
        ("photo", {"user_id": 5, "data": "x"}, "data must be base64"),
        ("photo", {"user_id": 5, "data": as_text(b"words")}, "IMAGE_PROCESS_FAILED"),
        ("document", {"user_id": 5, "file_name": "a"}, "a document needs data or size"),
        ("edit", {"user_id": 5, "message_id": 99, "text": "x"}, "there is no message 99"),
        ("redeliver", {}, "there has been no update"),
        ("pay", {"user_id": 5}, "there is no invoice in this chat"),
        ("wait", {"user_id": 5, "has": "wings"}, "has can be one of"),
    ],
)
def test_what_cannot_be_done_is_said(
    server: TelegramServer, action: str, arguments: dict, complaint: str
) -> None:
    with pytest.raises(requests.HTTPError) as refusal:
        server.act(action, **arguments)
    assert complaint in str(refusal.value)


def test_only_json_is_taken_so_that_no_foreign_page_can_act(server: TelegramServer) -> None:
    answer = requests.post(f"{server.url}/sandbox/act", data='{"action": "reset"}', timeout=10)
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]


def test_the_page_is_served(server: TelegramServer) -> None:
    answer = requests.get(f"{server.url}/", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert requests.get(f"{server.url}/static/app.js", timeout=10).ok
