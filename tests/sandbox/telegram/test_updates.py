"""Updates: their numbers, getUpdates, allowed kinds, redelivery."""

import threading
import time
from typing import Any

import pytest

from tests.sandbox.telegram.driving import PlainBot, keyboard
from tests.servers import TelegramServer
from tests.waiting import wait_until


def test_updates_come_in_order_until_they_are_confirmed(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    numbers = [server.act("message", user_id=alice, text=text)["update_id"] for text in "abc"]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    for _ in range(2):
        found = bot.ok("getUpdates")
        assert [(item["update_id"], item["message"]["text"]) for item in found] == list(
            zip(numbers, "abc", strict=True)
        )
    assert [item["update_id"] for item in bot.ok("getUpdates", limit=1)] == numbers[:1]
    assert [item["update_id"] for item in bot.ok("getUpdates", offset=-1)] == numbers[2:]
    assert [item["update_id"] for item in bot.ok("getUpdates")] == numbers[2:]
    assert bot.ok("getUpdates", offset=numbers[2] + 1) == []
    assert server.state()["queue"] == 0


def test_a_message_names_person_chat_and_command(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    sent = server.act("message", user_id=alice, text="/start ref42")
    message = bot.updates()[0]["message"]
    assert message["message_id"] == sent["message_id"]
    assert message["from"] == {
        "id": alice, "is_bot": False, "first_name": "Alice", "username": "alice", "language_code": "en",
    }  # fmt: skip
    assert message["entities"] == [{"type": "bot_command", "offset": 0, "length": 6}]


def test_a_long_poll_ends_with_the_first_update(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    found: list[Any] = []
    poll = threading.Thread(target=lambda: found.extend(bot.updates(timeout=20)))
    started = time.monotonic()
    poll.start()
    wait_until(lambda: server.calls(method="getUpdates"))
    server.act("message", user_id=alice, text="hello")
    poll.join()
    assert found[0]["message"]["text"] == "hello"
    assert time.monotonic() - started < 20
    assert bot.updates(timeout=1) == []


def test_a_second_poller_ends_the_first(bot: PlainBot, server: TelegramServer) -> None:
    refusals: list[str] = []
    call = {"code": 409, "timeout": 20}
    poll = threading.Thread(target=lambda: refusals.append(bot.refused("getUpdates", **call)))
    poll.start()
    wait_until(lambda: server.calls(method="getUpdates"))
    assert PlainBot(server).ok("getUpdates") == []
    poll.join()
    assert refusals == [
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    ]


def test_nobody_polls_while_a_webhook_is_set(bot: PlainBot) -> None:
    bot.ok("setWebhook", url="http://127.0.0.1:9/")
    assert bot.refused("getUpdates", code=409).startswith(
        "Conflict: can't use getUpdates method while webhook"
    )
    bot.ok("deleteWebhook")
    assert bot.ok("getUpdates") == []


def test_allowed_kinds_are_remembered(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    bot.send(alice, "press", reply_markup=keyboard("a"))
    bot.ok("getUpdates", allowed_updates=["callback_query"])
    assert server.act("message", user_id=alice, text="lost")["update_id"] is None
    server.act("tap", user_id=alice, label="a", wait=False)
    assert bot.updates()[0]["callback_query"]["data"] == "a"
    bot.ok("getUpdates", allowed_updates=[])
    assert server.act("message", user_id=alice, text="found")["update_id"]


def test_an_update_can_come_twice(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    first = server.act("message", user_id=alice, text="first")["update_id"]
    server.act("message", user_id=alice, text="second")
    newest = bot.updates()[-1]["update_id"]
    assert bot.updates() == []
    assert server.act("redeliver") == {"update_id": newest}
    assert bot.updates()[0]["message"]["text"] == "second"
    server.act("redeliver", update_id=first)
    assert bot.updates()[0]["update_id"] == first
    assert bot.updates() == []


def test_an_odd_update_is_sent_as_it_is_and_its_query_can_be_answered(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    person = {"id": alice, "is_bot": False, "first_name": "Alice"}
    query = {"id": "77", "from": person, "query": "cat", "offset": ""}
    server.act("send_update", update={"inline_query": query})
    assert bot.updates()[0]["inline_query"] == query
    assert bot.ok("answerInlineQuery", inline_query_id="77", results=[]) is True
    assert "query is too old" in bot.refused("answerInlineQuery", inline_query_id="77", results=[])


def test_a_reset_forgets_all_but_the_numbers_of_updates(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    number = server.act("message", user_id=alice, text="a")["update_id"]
    server.act("reset")
    assert server.chats()["users"] == []
    assert server.act("message", user_id=alice, text="b")["update_id"] > number
    assert [update["message"]["text"] for update in bot.updates()] == ["b"]


@pytest.mark.parametrize(
    "kind",
    ["sticker", "voice", "video", "animation", "video_note", "audio", "contact", "location", "poll", "dice"],
)
def test_everything_else_a_person_may_send(
    bot: PlainBot, alice: int, server: TelegramServer, kind: str
) -> None:
    server.act(kind, user_id=alice)
    message = bot.updates()[0]["message"]
    assert kind in message
    assert server.chat(alice)["messages"][-1]["kind"] == kind


def test_an_edited_message_and_a_group(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    number = server.act("message", user_id=alice, text="a")["message_id"]
    server.act("edit", user_id=alice, message_id=number, text="/b")
    edited = bot.updates()[-1]["edited_message"]
    assert (edited["text"], edited["message_id"], "edit_date" in edited) == ("/b", number, True)
    server.act("group", user_id=alice, text="hello all")
    message = bot.updates()[0]["message"]
    assert (message["chat"]["title"], message["from"]["id"]) == ("Group", alice)
    bot.send(message["chat"]["id"], "hello")
    shown = server.chat(message["chat"]["id"])["messages"]
    assert [item["text"] for item in shown] == ["hello all", "hello"]
    members = [
        bot.ok("getChatMember", chat_id=message["chat"]["id"], user_id=user) for user in (alice, 100001)
    ]
    assert [item["status"] for item in members] == ["member", "member"]
