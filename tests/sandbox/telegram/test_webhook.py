"""The webhook: a real HTTP server is told, again and again if it must be."""

import itertools

import pytest

from tests.sandbox.telegram.driving import PlainBot
from tests.sandbox.telegram.receiver import Receiver
from tests.servers import TelegramServer
from tests.waiting import wait_until

SECRET = "se-cret_1"


def test_updates_are_posted_with_the_secret(
    bot: PlainBot, alice: int, server: TelegramServer, receiver: Receiver
) -> None:
    body = bot.call("setWebhook", url=receiver.url, secret_token=SECRET, allowed_updates=["message"]).json()
    assert body == {"ok": True, "result": True, "description": "Webhook was set"}
    number = server.act("message", user_id=alice, text="привет")["update_id"]
    wait_until(lambda: receiver.received)
    (item,) = receiver.received
    assert (item.body["update_id"], item.body["message"]["text"]) == (number, "привет")
    headers = {name.lower(): value for name, value in item.headers.items()}
    assert headers["x-telegram-bot-api-secret-token"] == SECRET
    assert headers["content-type"].startswith("application/json")
    info = bot.ok("getWebhookInfo")
    assert (info["url"], info["max_connections"], info["allowed_updates"]) == (receiver.url, 40, ["message"])
    wait_until(lambda: bot.ok("getWebhookInfo")["pending_update_count"] == 0)
    assert server.state()["webhook"]["secret"] is True


def test_what_was_pending_is_sent_once_a_webhook_is_set(
    bot: PlainBot, alice: int, server: TelegramServer, receiver: Receiver
) -> None:
    numbers = [server.act("message", user_id=alice, text=text)["update_id"] for text in "ab"]
    bot.ok("setWebhook", url=receiver.url)
    wait_until(lambda: receiver.ids() == numbers)
    # What has come is taken once its answer is read: until then it would be pending again.
    wait_until(lambda: bot.ok("getWebhookInfo")["pending_update_count"] == 0)
    bot.ok("deleteWebhook")
    last = server.act("message", user_id=alice, text="c")["update_id"]
    assert [update["update_id"] for update in bot.updates()] == [last]
    bot.ok("setWebhook", url=receiver.url, drop_pending_updates=True)
    newest = server.act("message", user_id=alice, text="d")["update_id"]
    wait_until(lambda: receiver.ids() == [*numbers, newest])


def test_an_update_is_repeated_until_it_is_taken(
    bot: PlainBot, alice: int, server: TelegramServer, receiver: Receiver
) -> None:
    bot.ok("setWebhook", url=receiver.url)
    receiver.answers = [(500, None), (404, None)]
    first = server.act("message", user_id=alice, text="a")["update_id"]
    wait_until(lambda: "last_error_message" in bot.ok("getWebhookInfo"))
    second = server.act("message", user_id=alice, text="b")["update_id"]
    wait_until(lambda: receiver.ids() == [first, first, first, second])
    pauses = [
        later.began - sooner.began
        for sooner, later in zip(receiver.received, receiver.received[1:3], strict=False)
    ]
    # From below alone: a busy machine makes any pause longer, and none shorter.
    assert pauses[0] >= 0.45
    assert pauses[1] >= 0.95
    assert bot.ok("getWebhookInfo")["last_error_message"] == "Wrong response from the webhook: 404 Not Found"


def test_a_receiver_that_is_away_is_told_when_it_is_back(
    bot: PlainBot, alice: int, server: TelegramServer, receiver: Receiver
) -> None:
    bot.ok("setWebhook", url="http://127.0.0.1:9/")
    number = server.act("message", user_id=alice, text="a")["update_id"]
    wait_until(lambda: bot.ok("getWebhookInfo").get("last_error_message") == "Connection refused")
    bot.ok("setWebhook", url=receiver.url)
    wait_until(lambda: receiver.ids() == [number])


def test_chats_are_served_at_once_and_one_chat_in_order(
    bot: PlainBot, server: TelegramServer, receiver: Receiver
) -> None:
    receiver.seconds = 1
    bot.ok("setWebhook", url=receiver.url, max_connections=10)
    for text in ("first", "second"):
        for user_id in range(1, 11):
            server.act("message", user_id=user_id, text=text)
    wait_until(lambda: sum(item.ended > 0 for item in receiver.received) == 20)
    assert any(
        one.began < other.began < one.ended for one in receiver.received for other in receiver.received
    )
    for user_id in range(1, 11):
        mine = [item for item in receiver.received if item.body["message"]["chat"]["id"] == user_id]
        assert [item.body["message"]["text"] for item in mine] == ["first", "second"]
        assert mine[0].ended <= mine[1].began


def test_max_connections_is_kept(bot: PlainBot, server: TelegramServer, receiver: Receiver) -> None:
    receiver.seconds = 0.1
    bot.ok("setWebhook", url=receiver.url, max_connections=1)
    for user_id in range(1, 6):
        server.act("message", user_id=user_id, text="hello")
    wait_until(lambda: sum(item.ended > 0 for item in receiver.received) == 5)
    spans = sorted((item.began, item.ended) for item in receiver.received)
    assert all(sooner[1] <= later[0] for sooner, later in itertools.pairwise(spans))


def test_a_method_in_the_answer_is_carried_out(
    bot: PlainBot, alice: int, server: TelegramServer, receiver: Receiver
) -> None:
    bot.ok("setWebhook", url=receiver.url)
    receiver.answers = [(200, {"method": "sendMessage", "chat_id": alice, "text": "at once"})]
    sent = server.act("message", user_id=alice, text="a")["message_id"]
    assert server.act("wait", user_id=alice, after=sent, timeout=10)["text"] == "at once"
    (call,) = server.calls(method="sendMessage")
    assert call["status"] == 200


def test_redelivery(bot: PlainBot, alice: int, server: TelegramServer, receiver: Receiver) -> None:
    bot.ok("setWebhook", url=receiver.url)
    number = server.act("message", user_id=alice, text="a")["update_id"]
    wait_until(lambda: receiver.ids() == [number])
    server.act("redeliver", update_id=number)
    wait_until(lambda: receiver.ids() == [number, number])
    assert receiver.received[0].body == receiver.received[1].body


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"secret_token": "no spaces"}, "secret token contains unallowed characters"),
        ({"secret_token": "x" * 257}, "secret token is too long"),
        ({"url": "ftp://a.ru"}, "bad webhook: An HTTPS URL must be provided for webhook"),
        ({"url": "https:///x"}, "bad webhook: URL host is empty"),
    ],
)
def test_a_webhook_that_cannot_be_set(bot: PlainBot, given: dict, complaint: str) -> None:
    refusal = bot.refused("setWebhook", **{"url": "http://127.0.0.1:9/", **given})
    assert refusal == f"Bad Request: {complaint}"
    assert bot.ok("getWebhookInfo") == {
        "url": "",
        "has_custom_certificate": False,
        "pending_update_count": 0,
    }
