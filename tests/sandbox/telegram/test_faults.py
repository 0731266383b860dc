"""What can be made to go wrong, flood limits, and the journal."""

import time

import pytest
import requests

from qwenedit.sandbox.telegram.limits import Limits
from tests.sandbox.telegram.driving import PlainBot, picture
from tests.servers import TelegramServer


def test_a_fault_hits_one_call(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    plan = server.fault(method="sendMessage", code=429, retry_after=3)
    assert plan["plan"][0]["code"] == 429
    answer = bot.call("sendMessage", chat_id=alice, text="a")
    assert answer.status_code == 429
    assert answer.json() == {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 3",
        "parameters": {"retry_after": 3},
    }
    bot.send(alice, "b")
    assert [item["text"] for item in server.chat(alice)["messages"]] == ["/start", "b"]


def test_faults_choose_method_chat_and_words(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    server.act("message", user_id=77, text="/start")
    server.fault(chat_id=77, code=403, description="Forbidden: user is deactivated", times=None)
    bot.send(alice, "a")
    for _ in range(2):
        refusal = bot.refused("sendMessage", code=403, chat_id=77, text="b")
        assert refusal == "Forbidden: user is deactivated"
    assert len(bot.updates()) == 1
    server.fault(clear=True)
    bot.send(77, "c")


def test_an_answer_can_be_lost_after_the_work_was_done(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    server.fault(method="sendPhoto", drop=True, processed=True)
    with pytest.raises(requests.ConnectionError):
        bot.send_photo(alice, picture())
    assert "photo" in server.chat(alice)["messages"][-1]
    server.fault(method="sendMessage", code=500, processed=True)
    assert bot.refused("sendMessage", code=500, chat_id=alice, text="a") == "Internal Server Error"
    assert server.chat(alice)["messages"][-1]["text"] == "a"
    server.fault(method="sendMessage", drop=True)
    with pytest.raises(requests.ConnectionError):
        bot.send(alice, "b")
    assert server.chat(alice)["messages"][-1]["text"] == "a"
    (*_, lost) = server.calls(method="sendMessage")
    assert (lost["status"], lost["ok"]) == (None, False)


def test_a_proxy_that_answers_with_a_page(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    server.fault(code=502)
    answer = bot.call("sendMessage", chat_id=alice, text="a")
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")


def test_a_slow_answer(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    server.fault(method="sendMessage", delay=0.4)
    started = time.monotonic()
    bot.send(alice, "a")
    assert time.monotonic() - started >= 0.4
    assert server.calls(method="sendMessage")[0]["seconds"] >= 0.4


def test_a_download_can_fail(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    file_id = bot.send_photo(alice, picture())["photo"][-1]["file_id"]
    server.fault(method="download", code=500)
    with pytest.raises(requests.HTTPError, match="500"):
        bot.download(file_id)
    assert bot.download(file_id)


@pytest.mark.parametrize(
    "plan",
    [
        {"method": "sendMessage"},
        {"code": "429"},
        {"colour": "red"},
        {"times": True, "code": 400},
        {"code": True},
    ],
)
def test_a_fault_that_makes_no_sense(server: TelegramServer, plan: dict) -> None:
    with pytest.raises(requests.HTTPError, match="fault"):
        server.fault(**plan)
    assert server.state()["faults"] == []


def test_so_many_messages_a_second_are_let_through() -> None:
    limits = Limits()
    limits.change({"overall_per_second": 3})

    assert [limits.check("sendMessage", chat_id) is None for chat_id in range(4)] == [True, True, True, False]


def test_flood_limits(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    server.act("message", user_id=77, text="/start")
    server.limits(per_chat_per_second=0.05)
    bot.send(alice, "a")
    answer = bot.call("sendMessage", chat_id=alice, text="b").json()
    assert answer["error_code"] == 429
    assert 1 <= answer["parameters"]["retry_after"] <= 20
    assert bot.ok("sendChatAction", chat_id=alice, action="typing")
    bot.send(77, "c")
    server.limits(per_chat_per_second=None, overall_per_second=0.05)
    statuses = [bot.call("sendMessage", chat_id=chat_id, text="d").status_code for chat_id in (alice, 77)]
    assert statuses == [200, 429]
    assert server.limits(overall_per_second=None) == {
        "per_chat_per_second": None,
        "overall_per_second": None,
    }
    bot.send(alice, "e")


def test_the_journal(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    bot.send(alice, "a", reply_markup={"inline_keyboard": [[{"text": "x", "callback_data": "y"}]]})
    bot.send_photo(alice, picture(), caption="b")
    bot.refused("sendMessage", chat_id=404, text="c")
    text, refused = server.calls(method="sendmessage")
    assert text["parameters"]["reply_markup"]["inline_keyboard"][0][0]["text"] == "x"
    assert (text["chat_id"], text["status"], text["ok"]) == (alice, 200, True)
    assert (refused["status"], refused["description"]) == (400, "Bad Request: chat not found")
    (photo,) = server.calls(since=text["n"], chat_id=alice)
    assert photo["parameters"]["photo"] == {"file_name": "photo.jpg", "bytes": len(picture())}
