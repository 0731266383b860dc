"""Changes of the bot's own messages."""

from tests.sandbox.telegram.driving import PlainBot, as_text, keyboard, picture
from tests.servers import TelegramServer

NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the "
    "same as a current content and reply markup of the message"
)


def test_a_text_is_changed_and_loses_its_keyboard_unless_it_is_given_again(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    sent = bot.send(alice, "waiting", reply_markup=keyboard("Cancel"))
    place = {"chat_id": alice, "message_id": sent["message_id"]}
    edited = bot.ok("editMessageText", **place, text="<b>50 %</b>", parse_mode="HTML")
    assert (edited["text"], edited["date"]) == ("50 %", sent["date"])
    assert edited["edit_date"] >= sent["date"]
    assert "reply_markup" not in edited
    shown = server.chat(alice)["messages"][-1]
    assert (shown["edited"], shown["html"], shown["buttons"]) == (True, "<b>50 %</b>", [])
    assert shown["event"] > sent["message_id"]


def test_what_changes_nothing_is_refused(bot: PlainBot, alice: int) -> None:
    sent = bot.send(alice, "<b>x</b>", parse_mode="HTML", reply_markup=keyboard("a"))
    place = {"chat_id": alice, "message_id": sent["message_id"]}
    same = {**place, "text": "<b>x</b> ", "parse_mode": "HTML", "reply_markup": keyboard("a")}
    assert bot.refused("editMessageText", **same) == NOT_MODIFIED
    assert bot.refused("editMessageReplyMarkup", **place, reply_markup=keyboard("a")) == NOT_MODIFIED
    assert bot.ok("editMessageText", **(same | {"parse_mode": ""}))
    assert bot.ok("editMessageReplyMarkup", **place)
    assert bot.refused("editMessageReplyMarkup", **place) == NOT_MODIFIED


def test_a_text_becomes_a_picture_and_the_picture_another(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    sent = bot.send(alice, "working", reply_markup=keyboard("Cancel"))
    place = {"chat_id": alice, "message_id": sent["message_id"]}
    media = {"type": "photo", "media": "attach://result", "caption": "done"}
    files = {"result": ("result.png", picture(800, 600, "PNG"))}
    edited = bot.ok("editMessageMedia", files, **place, media=media, reply_markup=keyboard("File"))
    assert (edited["caption"], edited["reply_markup"]) == ("done", keyboard("File"))
    assert "text" not in edited
    assert server.chat(alice)["messages"][-1]["photo"]["width"] == 800
    document = bot.ok("sendDocument", {"document": ("a.bin", b"x")}, chat_id=alice)["document"]["file_id"]
    edited = bot.ok("editMessageMedia", **place, media={"type": "document", "media": document})
    assert "photo" not in edited
    assert "caption" not in edited
    again = bot.refused("editMessageMedia", **place, media={"type": "document", "media": document})
    assert again == NOT_MODIFIED
    captioned = bot.ok("editMessageCaption", **place, caption="a file")
    assert (captioned["caption"], captioned["document"]["file_id"]) == ("a file", document)


def test_a_text_has_no_caption_and_a_photo_no_text(bot: PlainBot, alice: int) -> None:
    text = {"chat_id": alice, "message_id": bot.send(alice, "x")["message_id"]}
    photo = {"chat_id": alice, "message_id": bot.send_photo(alice, picture())["message_id"]}
    refusal = bot.refused("editMessageText", **photo, text="y")
    assert refusal == "Bad Request: there is no text in the message to edit"
    refusal = bot.refused("editMessageCaption", **text, caption="y")
    assert refusal == "Bad Request: there is no caption in the message to edit"


def test_messages_of_others_and_those_that_are_not_there_cannot_be_edited(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    theirs = server.act("photo", user_id=alice, data=as_text(picture()))["message_id"]
    for method, content in [
        ("editMessageText", {"text": "x"}),
        ("editMessageCaption", {"caption": "x"}),
        ("editMessageReplyMarkup", {"reply_markup": keyboard("a")}),
        ("editMessageMedia", {"media": {"type": "photo", "media": "x"}}),
    ]:
        place = {"chat_id": alice, "message_id": theirs}
        assert bot.refused(method, **place, **content) == "Bad Request: message can't be edited"
        place["message_id"] = 9999
        assert bot.refused(method, **place, **content) == "Bad Request: message to edit not found"
    assert "identifier is not specified" in bot.refused("editMessageText", chat_id=alice, text="x")
    mine = bot.send(alice, "x")["message_id"]
    markup = {"remove_keyboard": True}
    given = {"chat_id": alice, "message_id": mine, "text": "y", "reply_markup": markup}
    assert bot.refused("editMessageText", **given) == "Bad Request: inline keyboard expected"
