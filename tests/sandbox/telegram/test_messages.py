"""Texts: sent, limited, replied to, copied, deleted, pinned; and who may be written to."""

import pytest
import requests

from tests.sandbox.telegram.driving import PlainBot, as_text, keyboard, picture
from tests.servers import TelegramServer
from tests.waiting import wait_until


def test_a_text_arrives_as_it_was_sent(bot: PlainBot, alice: int) -> None:
    sent = bot.send(alice, "<b>Готово</b> 🎨 <i>now</i>", parse_mode="HTML", reply_markup=keyboard("Again"))
    assert sent["text"] == "Готово 🎨 now"
    assert sent["entities"] == [
        {"offset": 0, "length": 6, "type": "bold"},
        {"offset": 10, "length": 3, "type": "italic"},
    ]
    assert sent["chat"] == {"id": alice, "first_name": "Alice", "username": "alice", "type": "private"}
    assert sent["from"]["is_bot"] is True
    assert sent["reply_markup"] == keyboard("Again")
    shown = bot.server.chat(alice)["messages"][-1]
    assert (shown["from"], shown["text"], shown["edited"]) == ("bot", "Готово 🎨 now", False)
    assert shown["html"] == "<b>Готово</b> 🎨 <i>now</i>"
    assert shown["buttons"] == [[{"label": "Again", "data": "Again"}]]


@pytest.mark.parametrize("form", ["query", "form", "json", "multipart"])
def test_parameters_come_in_four_ways(bot: PlainBot, alice: int, form: str) -> None:
    given = {"chat_id": str(alice), "text": "hello", "disable_notification": "true"}
    url = f"{bot.url}/SENDmessage"
    answer = {
        "query": lambda: requests.get(url, params=given, timeout=10),
        "form": lambda: requests.post(url, data=given, timeout=10),
        "json": lambda: requests.post(url, json=given | {"chat_id": alice}, timeout=10),
        "multipart": lambda: requests.post(
            url, files={name: (None, value) for name, value in given.items()}, timeout=10
        ),
    }[form]()
    assert answer.json()["result"]["text"] == "hello"


def test_a_wrong_token_and_an_unknown_method_are_refused(server: TelegramServer) -> None:
    answer = requests.post(f"{server.url}/bot1:wrong/getMe", timeout=10)
    assert (answer.status_code, answer.json()) == (
        401,
        {"ok": False, "error_code": 401, "description": "Unauthorized"},
    )
    assert PlainBot(server).refused("makeCoffee", code=404) == "Not Found"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Bad Request: message text is empty"),
        (" \n ", "Bad Request: message text is empty"),
        ("<b> </b>", "Bad Request: message text is empty"),
        ("x" * 4097, "Bad Request: message is too long"),
        ("🎨" * 2049, "Bad Request: message is too long"),
        ("<u>a", "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"u\""),
        ("a < b", 'Bad Request: can\'t parse entities: Unsupported start tag "" at byte offset 2'),
    ],
)
def test_a_text_that_cannot_be_sent(bot: PlainBot, alice: int, text: str, complaint: str) -> None:
    assert bot.refused("sendMessage", chat_id=alice, text=text, parse_mode="HTML") == complaint


def test_4096_units_after_parsing_are_not_too_long(bot: PlainBot, alice: int) -> None:
    assert len(bot.send(alice, f"<b>{'x' * 4096}</b>", parse_mode="HTML")["text"]) == 4096


def test_a_bot_cannot_write_first(bot: PlainBot, server: TelegramServer) -> None:
    bob = server.act("user", first_name="Bob")["id"]
    for chat_id in (bob, 777, "@nobody", "", -100):
        complaint = bot.refused("sendMessage", chat_id=chat_id, text="hello")
        assert complaint == f"Bad Request: {'chat not found' if chat_id else 'chat_id is empty'}"
    server.act("message", user_id=bob, text="hi")
    bot.send(bob, "hello")


def test_who_has_blocked_the_bot_gets_nothing(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    sent = bot.send(alice, "hello")
    server.act("block", user_id=alice)
    (update,) = bot.updates()
    member = update["my_chat_member"]
    assert (member["old_chat_member"]["status"], member["new_chat_member"]["status"]) == ("member", "kicked")
    forbidden = "Forbidden: bot was blocked by the user"
    assert bot.refused("sendMessage", code=403, chat_id=alice, text="hello") == forbidden
    assert bot.refused("sendChatAction", code=403, chat_id=alice, action="typing") == forbidden
    assert bot.ok("editMessageText", chat_id=alice, message_id=sent["message_id"], text="bye")
    assert server.chat(alice)["blocked"] is True
    with pytest.raises(requests.HTTPError, match="has blocked the bot"):
        server.act("message", user_id=alice, text="hi")
    server.act("unblock", user_id=alice)
    assert bot.updates()[0]["my_chat_member"]["new_chat_member"]["status"] == "member"
    bot.send(alice, "welcome back")


def test_a_reply_quotes_what_it_replies_to(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    asked = server.act("message", user_id=alice, text="what?")["message_id"]
    answer = bot.send(alice, "that", reply_parameters={"message_id": asked})
    assert answer["reply_to_message"]["text"] == "what?"
    again = server.act("message", user_id=alice, text="really?", reply_to=answer["message_id"])
    assert "reply_to_message" not in bot.updates()[-1]["message"]["reply_to_message"]
    assert server.chat(alice)["messages"][-1]["reply_to"] == answer["message_id"]
    server.act("delete_message", user_id=alice, message_id=again["message_id"], **{"for": "both"})
    gone = {"message_id": again["message_id"]}
    complaint = bot.refused("sendMessage", chat_id=alice, text="yes", reply_parameters=gone)
    assert complaint == "Bad Request: message to be replied not found"
    alone = bot.send(alice, "yes", reply_parameters=gone | {"allow_sending_without_reply": True})
    assert "reply_to_message" not in alone


def test_copies_and_forwards(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    bob = server.act("user", first_name="Bob")["id"]
    server.act("message", user_id=bob, text="/start")
    photo = server.act("photo", user_id=alice, data=as_text(picture()), caption="mine")["message_id"]
    given = {"chat_id": bob, "from_chat_id": alice, "message_id": photo}
    bot.ok("copyMessage", **given)
    copied = server.chat(bob)["messages"][-1]
    assert (copied["from"], copied["caption"], copied["photo"]["width"]) == ("bot", "mine", 640)
    bot.ok("copyMessage", **given, caption="<b>new</b>", parse_mode="HTML")
    assert server.chat(bob)["messages"][-1]["html"] == "<b>new</b>"
    assert bot.ok("forwardMessage", **given)["forward_origin"]["sender_user"]["first_name"] == "Alice"
    missing = {"chat_id": bob, "from_chat_id": alice, "message_id": 9999}
    assert bot.refused("copyMessage", **missing) == "Bad Request: message to copy not found"
    assert bot.refused("forwardMessage", **missing) == "Bad Request: message to forward not found"


def test_deletions(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    numbers = [bot.send(alice, text)["message_id"] for text in "abc"]
    given = {"chat_id": alice, "message_id": numbers[0]}
    assert bot.ok("deleteMessage", **given) is True
    assert bot.refused("deleteMessage", **given) == "Bad Request: message to delete not found"
    complaint = "Bad Request: message to edit not found"
    assert bot.refused("editMessageText", **given, text="x") == complaint
    assert bot.ok("deleteMessages", chat_id=alice, message_ids=numbers) is True
    assert [item["text"] for item in server.chat(alice)["messages"]] == ["/start"]
    theirs = server.chat(alice)["messages"][0]["message_id"]
    assert bot.ok("deleteMessage", chat_id=alice, message_id=theirs) is True


def test_reactions_pins_and_chat_actions(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    number = server.act("message", user_id=alice, text="look")["message_id"]
    given = {"chat_id": alice, "message_id": number}
    assert bot.ok("setMessageReaction", **given, reaction=[{"type": "emoji", "emoji": "👀"}])
    assert server.chat(alice)["messages"][-1]["reactions"] == ["👀"]
    wrong = [{"type": "emoji", "emoji": "🛠"}]
    assert bot.refused("setMessageReaction", **given, reaction=wrong) == "Bad Request: REACTION_INVALID"
    assert bot.ok("setMessageReaction", **given, reaction=[])
    assert "reactions" not in [item for item in server.chat(alice)["messages"] if item["reactions"]]
    assert bot.ok("pinChatMessage", **given)
    assert bot.ok("getChat", chat_id=alice)["pinned_message"]["text"] == "look"
    assert bot.ok("unpinChatMessage", chat_id=alice)
    assert bot.refused("unpinChatMessage", chat_id=alice) == "Bad Request: message to unpin not found"

    def shows_action() -> bool:
        assert bot.ok("sendChatAction", chat_id=alice, action="upload_photo")
        return bool(server.chat(alice)["typing"] == "upload_photo")

    wait_until(shows_action)  # an action is shown for five seconds, which a busy machine may sleep through
    bot.send(alice, "done")
    assert server.chat(alice)["typing"] is None
    complaint = bot.refused("sendChatAction", chat_id=alice, action="dancing")
    assert complaint == "Bad Request: wrong parameter action in request"


def test_a_reply_keyboard_is_shown_pressed_and_removed(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    markup = {"keyboard": [[{"text": "Presets"}, "Balance"]], "resize_keyboard": True}
    assert "reply_markup" not in bot.send(alice, "menu", reply_markup=markup)
    assert server.chat(alice)["reply_keyboard"] == [["Presets", "Balance"]]
    server.act("press", user_id=alice, label="Balance")
    assert bot.updates()[-1]["message"]["text"] == "Balance"
    bot.send(alice, "bye", reply_markup={"remove_keyboard": True})
    assert server.chat(alice)["reply_keyboard"] is None
    with pytest.raises(requests.HTTPError, match="there is no button 'Balance'"):
        server.act("press", user_id=alice, label="Balance")


@pytest.mark.parametrize(
    ("button", "complaint"),
    [
        ({"callback_data": "x" * 65}, "BUTTON_DATA_INVALID"),
        ({"callback_data": "ж" * 33}, "BUTTON_DATA_INVALID"),
        ({"callback_data": ""}, "Text buttons are unallowed in the inline keyboard"),
        ({}, "Text buttons are unallowed in the inline keyboard"),
        ({"url": "http://localhost/pay"}, "'http://localhost/pay' is invalid: Wrong HTTP URL"),
        ({"url": "ftp://example.com"}, "is invalid: Unsupported URL protocol"),
        ({"url": "javascript:alert(1)"}, "is invalid: Wrong HTTP URL"),
        ({"web_app": {"url": "http://example.com"}}, "Only HTTPS links are allowed"),
        ({"copy_text": {"text": ""}}, "BUTTON_COPY_TEXT_INVALID"),
        ({"pay": True}, "BUTTON_TYPE_INVALID"),
        ({"callback_data": "x", "style": "rainbow"}, "Unsupported button style specified"),
        ({"callback_data": 5}, 'Field "callback_data" must be of type String'),
    ],
)
def test_a_button_that_cannot_be(bot: PlainBot, alice: int, button: dict, complaint: str) -> None:
    markup = {"inline_keyboard": [[{"text": "press", **button}]]}
    refusal = bot.refused("sendMessage", chat_id=alice, text="x", reply_markup=markup)
    assert refusal.startswith("Bad Request: ")
    assert complaint in refusal


def test_buttons_at_the_limit(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    row = [
        {"text": "a", "callback_data": "ж" * 32, "style": "danger"},
        {"text": "b", "url": "http://127.0.0.1:8000/pay"},
        {"text": "c", "copy_text": {"text": "PROMO"}},
    ]
    bot.send(alice, "x", reply_markup={"inline_keyboard": [row, []]})
    assert server.chat(alice)["messages"][-1]["buttons"] == [
        [
            {"label": "a", "data": "ж" * 32, "style": "danger"},
            {"label": "b", "url": "http://127.0.0.1:8000/pay"},
            {"label": "c", "copy_text": "PROMO"},
        ]
    ]
    for broken in ("[]", '{"inline_keyboard": {}}', "{"):
        assert bot.refused("sendMessage", chat_id=alice, text="x", reply_markup=broken)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("sendMessage", {"text": "\ud83d"}),
        ("sendMessage", {"text": "x", "reply_markup": r'{"keyboard": [["\ud83d"]]}'}),
        ("sendMessage", {"text": "x", "reply_parameters": {"message_id": "abc"}, "chat_id": "1e9"}),
        (
            "sendMessage",
            {"text": "x", "entities": [{"type": "text_mention", "offset": 0, "length": 1}] * 2 + [5]},
        ),
        ("deleteMessages", {"message_ids": {"a": 1}}),
        ("setMessageReaction", {"message_id": 1, "reaction": [5]}),
        ("sendMediaGroup", {"media": [{"type": "photo", "media": 5}] * 2}),
        ("setChatMenuButton", {"menu_button": {"type": "web_app", "text": "a", "web_app": 5}}),
        ("sendInvoice", {"prices": [5]}),
    ],
)
def test_nonsense_is_refused_and_never_breaks_the_server(
    bot: PlainBot, alice: int, method: str, given: dict
) -> None:
    assert bot.refused(method, **{"chat_id": alice, **given}).startswith("Bad Request: ")
