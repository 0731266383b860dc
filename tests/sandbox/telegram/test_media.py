"""Photos, documents, albums: both ways."""

import io
from typing import Any

import pytest
import requests
from PIL import Image

from tests.sandbox.telegram.driving import PlainBot, as_text, keyboard, picture
from tests.servers import TelegramServer

MEGABYTE = 1024 * 1024


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_photo_of_a_person_comes_in_sizes_without_metadata(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    taken = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"  # to be turned by a quarter
    Image.new("RGB", (2000, 1500), "red").save(taken, "JPEG", exif=exif)
    server.act("photo", user_id=alice, data=as_text(taken.getvalue()), caption="make it /blue")
    (update,) = bot.updates()
    message = update["message"]
    assert message["caption"] == "make it /blue"
    assert message["caption_entities"] == [{"type": "bot_command", "offset": 8, "length": 5}]
    sizes = [(size["width"], size["height"]) for size in message["photo"]]
    assert sizes == [(68, 90), (240, 320), (600, 800), (960, 1280)]
    assert len({size["file_unique_id"] for size in message["photo"]}) == 4
    smallest = requests.get(f"{server.url}/sandbox/files/{message['photo'][0]['file_id']}", timeout=10)
    assert opened(smallest.content).size == (68, 90)
    for size in message["photo"]:
        fetched = opened(bot.download(size["file_id"]))
        assert (fetched.format, fetched.size) == ("JPEG", (size["width"], size["height"]))
        assert not fetched.getexif()
    assert len(bot.download(message["photo"][-1]["file_id"])) == message["photo"][-1]["file_size"]
    shown = server.chat(alice)["messages"][-1]
    fetched = requests.get(server.url + shown["photo"]["url"], timeout=10)
    assert fetched.headers["Content-Type"] == "image/jpeg"
    assert opened(fetched.content).size == (960, 1280)


def test_a_photo_of_the_bot_can_be_sent_again_by_its_id(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    given: dict[str, Any] = {"caption": "<b>done</b>", "parse_mode": "HTML", "reply_markup": keyboard("File")}
    sent = bot.send_photo(alice, picture(1024, 768, "PNG"), **given)
    assert [size["width"] for size in sent["photo"]] == [90, 320, 800, 1024]
    assert (sent["caption"], sent["reply_markup"]) == ("done", keyboard("File"))
    again = bot.ok("sendPhoto", chat_id=alice, photo=sent["photo"][0]["file_id"])
    assert again["photo"] == sent["photo"]
    assert "caption" not in again
    shown = server.act("wait", user_id=alice, has="photo", after=sent["message_id"])
    assert (shown["photo"]["width"], shown["photo"]["height"]) == (1024, 768)


def test_transparency_becomes_white(bot: PlainBot, alice: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(buffer, "PNG")
    sent = bot.send_photo(alice, buffer.getvalue())
    assert opened(bot.download(sent["photo"][-1]["file_id"])).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "code", "complaint"),
    [
        (b"no picture", 400, "IMAGE_PROCESS_FAILED"),
        (picture()[:300], 400, "IMAGE_PROCESS_FAILED"),
        (picture(9000, 1001), 400, "PHOTO_INVALID_DIMENSIONS"),
        (picture(2100, 100), 400, "PHOTO_INVALID_DIMENSIONS"),
        (b"", 400, "file must be non-empty"),
        (b"\xff" * (10 * MEGABYTE + 1), 400, "file of size 10485761 bytes is too big for a photo"),
        (b"\xff" * (53 * MEGABYTE), 413, "Request Entity Too Large"),
    ],
    ids=["words", "torn", "sum", "ratio", "empty", "large", "huge"],
)
def test_what_is_no_photo(bot: PlainBot, alice: int, data: bytes, code: int, complaint: str) -> None:
    refusal = bot.refused("sendPhoto", {"photo": ("a.jpg", data)}, code, chat_id=alice)
    assert complaint in refusal


def test_a_document_keeps_name_and_bytes(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    data = picture(kind="PNG")
    files = {"document": ("Original «1».png", data)}
    sent = bot.ok("sendDocument", files, chat_id=alice, caption="original")["document"]
    assert (sent["file_name"], sent["mime_type"]) == ("Original «1».png", "image/png")
    assert sent["file_size"] == len(data)
    assert bot.download(sent["file_id"]) == data
    assert bot.ok("sendDocument", chat_id=alice, document=sent["file_id"])["document"] == sent
    shown = server.chat(alice)["messages"][-1]["document"]
    assert (shown["file_name"], shown["file_size"]) == ("Original «1».png", len(data))
    assert requests.get(server.url + shown["url"], timeout=10).content == data


def test_a_page_among_the_documents_is_not_shown_as_a_page(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    files = {"document": ("evil.html", b"<script>alert(1)</script>")}
    sent = bot.ok("sendDocument", files, chat_id=alice)["document"]
    answer = requests.get(f"{server.url}/sandbox/files/{sent['file_id']}", timeout=10)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_document_larger_than_20_megabytes_cannot_be_fetched(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    server.act("document", user_id=alice, size=20 * MEGABYTE + 1, file_name="a.tif", mime_type="image/tiff")
    server.act("document", user_id=alice, size=5, file_name="b.bin")
    large, small = (update["message"]["document"] for update in bot.updates())
    assert (large["file_size"], large["mime_type"]) == (20 * MEGABYTE + 1, "image/tiff")
    assert bot.refused("getFile", file_id=large["file_id"]) == "Bad Request: file is too big"
    assert bot.download(small["file_id"]) == bytes(5)


def test_ids_are_of_their_kind(bot: PlainBot, alice: int) -> None:
    photo = bot.send_photo(alice, picture())["photo"][-1]["file_id"]
    files = {"document": ("a.jpg", picture())}
    document = bot.ok("sendDocument", files, chat_id=alice)["document"]["file_id"]
    refusal = bot.refused("sendPhoto", chat_id=alice, photo=document)
    assert refusal == "Bad Request: can't use file of type Document as Photo"
    refusal = bot.refused("sendDocument", chat_id=alice, document=photo)
    assert refusal == "Bad Request: can't use file of type Photo as Document"
    refusal = bot.refused("sendPhoto", chat_id=alice, photo="AgACnonsense")
    assert refusal == "Bad Request: wrong file identifier/HTTP URL specified"
    assert bot.refused("getFile", file_id="AgACnonsense") == "Bad Request: invalid file_id"
    assert bot.refused("sendPhoto", chat_id=alice) == "Bad Request: there is no photo in the request"
    missing = f"{bot.server.file_url}{bot.server.token}/photos/file_999.jpg"
    assert requests.get(missing, timeout=10).status_code == 404


def test_a_photo_by_url_is_fetched(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    first = bot.send_photo(alice, picture())["photo"][-1]["file_id"]
    sent = bot.ok("sendPhoto", chat_id=alice, photo=f"{server.url}/sandbox/files/{first}")
    assert sent["photo"][-1]["file_id"] != first
    refusal = bot.refused("sendPhoto", chat_id=alice, photo="http://127.0.0.1:9/a.jpg")
    assert refusal == "Bad Request: failed to get HTTP URL content"


def test_an_album_of_a_person_is_several_updates_with_one_caption(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    items = [{"data": as_text(picture())}, {"data": as_text(picture()), "as_document": True}]
    album = server.act("album", user_id=alice, items=items, caption="all of them")
    first, second = (update["message"] for update in bot.updates())
    assert first["media_group_id"] == second["media_group_id"] == album["media_group_id"]
    assert (first["caption"], "caption" in second) == ("all of them", False)
    assert "photo" in first
    assert second["document"]["mime_type"] == "image/jpeg"
    assert [item["album"] for item in server.chat(alice)["messages"][1:]] == [album["media_group_id"]] * 2


def test_an_album_of_the_bot(bot: PlainBot, alice: int) -> None:
    files = {"a": ("a.jpg", picture()), "b": ("b.jpg", picture(colour="red"))}
    media = [{"type": "photo", "media": "attach://a", "caption": "<b>two</b>", "parse_mode": "HTML"},
             {"type": "photo", "media": "attach://b"}]  # fmt: skip
    first, second = bot.ok("sendMediaGroup", files, chat_id=alice, media=media)
    assert first["media_group_id"] == second["media_group_id"]
    assert first["caption_entities"] == [{"type": "bold", "offset": 0, "length": 3}]
    known = {"type": "photo", "media": first["photo"][-1]["file_id"]}
    refusal = bot.refused("sendMediaGroup", chat_id=alice, media=[known])
    assert refusal == "Bad Request: too few messages to send as an album"
    assert "too many" in bot.refused("sendMediaGroup", chat_id=alice, media=[known] * 11)
    mixed = [known, {"type": "document", "media": known["media"]}]
    assert bot.refused("sendMediaGroup", chat_id=alice, media=mixed)
    assert len(bot.ok("sendMediaGroup", chat_id=alice, media=[known] * 10)) == 10


def test_captions_have_a_limit(bot: PlainBot, alice: int) -> None:
    photo = bot.send_photo(alice, picture(), caption="x" * 1024)["photo"][-1]["file_id"]
    refusal = bot.refused("sendPhoto", chat_id=alice, photo=photo, caption="x" * 1025)
    assert refusal == "Bad Request: message caption is too long"


def test_videos_and_animations(bot: PlainBot, alice: int) -> None:
    files = {"video": ("a.mp4", b"film")}
    video = bot.ok("sendVideo", files, chat_id=alice, width="640", height="360", duration="3")["video"]
    assert (video["width"], video["height"], video["duration"], video["mime_type"]) == (
        640,
        360,
        3,
        "video/mp4",
    )
    sent = bot.ok("sendAnimation", {"animation": ("a.gif", b"GIF")}, chat_id=alice)
    assert sent["animation"]["file_id"] == sent["document"]["file_id"]
