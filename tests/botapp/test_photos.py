"""The shortest way to an edit: a photo and words, in whatever order and form they come."""

from typing import Any

import pytest

from botapp.models import Chat, Delivery, IncomingUpdate, Order, OrderStatus
from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.models import LedgerEntry
from tests.botapp.editing import WISH, balance, drawn
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.factories import CategoryFactory, PresetFactory, give_points
from tests.telegram import Telegram

pytestmark = pytest.mark.django_db(transaction=True)


def repeat(talk: Talk) -> None:
    """Let Telegram send its newest update again."""
    talk.telegram.act("redeliver")
    talk.answer()


def test_a_photo_with_a_caption_becomes_the_picture_in_one_message(
    talk: Talk, photo: str, workers: Workers, node: Any
) -> None:
    talk.do("photo", data=photo, caption=WISH)
    accepted = talk.last

    workers.place()
    queued = talk.text
    workers.edit()
    workers.send()

    assert "⏳ Accepted" in accepted["text"]
    assert "In the queue: place 1" in queued
    assert "Charged: 30 points. Balance: 30 points." in queued
    [said] = talk.telegram.said(talk.user_id)
    assert said["message_id"] == accepted["message_id"]
    assert said["photo"]["width"] == 1024
    assert said["caption"] == f"✍️ {WISH}\n\nCharged: 30 points. Balance: 30 points."
    assert talk.labels == [
        "🔁 Again",
        "✨ Edit further",
        "🎨 Another style",
        "📄 Original file",
        "⭐",
        "👍",
        "👎",
    ]
    order = Order.objects.get()
    assert order.photo_file_id == said["photo"]["file_id"]
    assert order.job == Job.objects.get(status=JobStatus.SUCCEEDED)
    assert Delivery.objects.get().message_id == said["message_id"]


def test_the_whole_way_in_russian(
    telegram: Telegram, bob_chat: Chat, photo: str, workers: Workers, node: Any, valkey: Any
) -> None:
    talk = Talk(telegram, bob_chat)
    talk.do("photo", data=photo)
    talk.do("message", text="сделай карандашный рисунок")
    asked = talk.text
    talk.tap("✅ Изменить")
    workers.place()
    queued = talk.text
    workers.edit()
    workers.send()

    assert "Цена: 30 баллов. На балансе 60 баллов, останется 30." in asked
    assert "В очереди: место 1. До результата около 20 секунд." in queued
    assert talk.last["caption"].endswith("Списано: 30 баллов. Баланс: 30 баллов.")


def test_a_photo_alone_is_asked_about_and_the_words_that_follow_are_confirmed(
    talk: Talk, photo: str, workers: Workers, node: Any
) -> None:
    PresetFactory.create(category=CategoryFactory.create(title_en="Art styles", icon="🎨"))

    talk.do("photo", data=photo)
    menu, buttons = talk.text, talk.labels
    talk.do("message", text=WISH)
    asked = talk.text
    talk.tap("✅ Edit")
    workers.finish()

    assert menu.startswith("Got your photo.")
    assert "A usual edit: 30 points. You have 60 points." in menu
    assert buttons == ["🎨 Art styles", "✍️ Own prompt", "🔄 Another photo", "✖ Cancel"]
    assert asked == f"✍️ {WISH}\n\nPrice: 30 points. You have 60 points, 30 will be left."
    said = talk.telegram.said(talk.user_id)
    assert "photo" in said[-1]
    assert len(said) == 2  # the confirm screen became the picture


def test_words_alone_are_kept_until_the_photo_comes(talk: Talk, photo: str) -> None:
    talk.do("message", text=WISH)
    first = talk.text
    talk.do("photo", data=photo)

    assert first == f"✍️ {WISH}\n\nNow send the photo."
    assert "Price: 30 points" in talk.text
    assert WISH in talk.text
    assert not Order.objects.exists()


@pytest.mark.parametrize("words", ["hello", "Hi there!", "Спасибо", "👋", "ok", "???"])
def test_small_talk_is_answered_with_the_main_menu(talk: Talk, words: str) -> None:
    talk.do("message", text=words)
    assert talk.text.startswith("What shall we do?")


def test_words_that_reply_to_a_photo_are_about_that_photo(talk: Talk, photo: str) -> None:
    first = talk.do("photo", data=photo)
    talk.do("photo", data=drawn(64, 64))
    talk.do("message", text=WISH, reply_to=first["message_id"])
    talk.tap("✅ Edit")

    assert [kept["message"] for kept in Order.objects.get().photos] == [first["message_id"]]


@pytest.mark.parametrize(
    ("name", "mime", "kind"),
    [
        ("big.png", "image/png", "PNG"),
        ("big.heic", "application/octet-stream", "HEIF"),
        ("IMG_1", "image/webp", "WEBP"),
    ],
)
def test_the_original_of_a_picture_sent_as_a_file_is_used(
    talk: Talk, workers: Workers, name: str, mime: str, kind: str
) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    talk.do("document", data=drawn(1800, 900, kind), file_name=name, mime_type=mime, caption=WISH)
    workers.place()

    assert Order.objects.get().photos[0]["name"] == name
    image = JobImage.objects.get()
    assert (image.width, image.height) == (1800, 900)  # a photo would have come with 1280


@pytest.mark.parametrize(
    ("file", "answer"),
    [
        ({"size": 21 << 20, "file_name": "huge.png", "mime_type": "image/png"}, "up to 20 MB are accepted"),
        ({"size": 100, "file_name": "thesis.pdf", "mime_type": "application/pdf"}, "pictures only"),
        ({"size": 100, "file_name": "noname"}, "pictures only"),
        ({"size": 100, "file_name": "moving.gif", "mime_type": "image/gif"}, "pictures only"),
    ],
)
def test_a_file_that_can_not_be_taken_is_refused_kindly(
    talk: Talk, file: dict[str, Any], answer: str
) -> None:
    talk.do("document", caption=WISH, **file)

    assert answer in talk.text
    assert not Order.objects.exists()
    assert not Chat.objects.get(pk=talk.user_id).draft
    assert [call["method"] for call in talk.telegram.calls()].count("getFile") == 0


@pytest.mark.parametrize(
    ("caption", "answer"),
    [
        ("w" * 1024, "1024 characters, and 500 fit"),
        ("дом", "at least 5 characters"),
        ("🌅🌅🌅🌅🌅🌅", "say in words"),
        ("make her naked", "This edit is not allowed."),
    ],
)
def test_a_caption_that_is_no_wish_is_explained_and_the_photo_is_kept(
    talk: Talk, photo: str, caption: str, answer: str
) -> None:
    talk.do("photo", data=photo, caption=caption)
    explained = talk.text
    talk.do("message", text=WISH)

    assert answer in explained
    assert "I have the photo" in explained
    assert "Price: 30 points" in talk.text
    assert not Order.objects.exists()


def test_words_that_are_no_wish_are_explained_and_nothing_is_forgotten(talk: Talk, photo: str) -> None:
    talk.do("photo", data=photo)
    for words, answer in [("w" * 600, "500 fit"), ("🎉🎉🎉🎉🎉", "say in words"), ("dog", "at least 5")]:
        talk.do("message", text=words)
        assert answer in talk.text
    talk.do("message", text=WISH)
    assert "Price: 30 points" in talk.text


def test_html_in_a_wish_is_shown_as_it_was_written(
    talk: Talk, photo: str, workers: Workers, node: Any
) -> None:
    words = "write <b>5 > 4 & 3</b> on the wall"
    talk.do("photo", data=photo, caption=words)
    workers.finish()

    assert words in talk.last["caption"]
    assert Job.objects.get().prompt == words


def test_a_wish_is_not_ordered_without_the_points_for_it(
    talk: Talk, photo: str, workers: Workers, alice_chat: Chat
) -> None:
    give_points(alice_chat.user, -50)

    talk.do("photo", data=photo, caption=WISH)
    missing, buttons = talk.text, talk.labels
    talk.tap("✅ Edit")
    toast = talk.toasts[-1]
    ordered_without = Order.objects.exists()
    give_points(alice_chat.user, 20)
    talk.tap("✅ Edit")
    workers.place()

    assert missing == f"✍️ {WISH}\n\nPrice: 30 points. You have 10 points, short by 20 points."
    assert buttons == ["💰 Top up", "✅ Edit", "✖ Cancel"]
    assert toast == "You are short by 20 points."
    assert not ordered_without
    assert Order.objects.get().status == OrderStatus.SUBMITTED
    assert balance(talk) == 0


def test_an_update_that_telegram_repeats_makes_no_second_order(
    talk: Talk, photo: str, workers: Workers, node: Any
) -> None:
    talk.do("photo", data=photo, caption=WISH)
    repeat(talk)
    workers.finish()
    repeat(talk)

    assert Order.objects.count() == 1
    assert len(talk.telegram.said(talk.user_id)) == 1
    assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.EDIT).count() == 1


def test_an_update_that_is_answered_a_second_time_makes_no_second_order(
    talk: Talk, photo: str, workers: Workers
) -> None:
    talk.telegram.fault(method="sendMessage", code=500)
    talk.do("photo", data=photo, caption=WISH)
    assert not talk.telegram.said(talk.user_id)

    IncomingUpdate.objects.update(next_try_at="2020-01-01T00:00Z")
    talk.do("message", text=WISH)  # finds the open update of the photo first
    workers.place()

    assert Order.objects.count() == 1
    assert [WISH in words for words in talk.telegram.words(talk.user_id)] == [True, True]


def test_how_to_begin_is_said_until_there_is_a_photo(talk: Talk, photo: str) -> None:
    talk.do("message", text="/edit")
    assert talk.text.startswith("How to edit a photo")
    talk.do("photo", data=photo)
    talk.do("message", text="/edit")
    assert talk.text.startswith("Got your photo.")
    talk.tap("🔄 Another photo")
    assert talk.text == "All right, send another photo."
    assert not Chat.objects.get(pk=talk.user_id).draft


def test_photos_join_the_words_that_are_asked_for(talk: Talk, photo: str, workers: Workers) -> None:
    talk.do("message", text="/edit")
    talk.tap("✍️ Own prompt")
    asked = talk.text
    for _ in range(4):
        talk.do("photo", data=photo)
    counted = talk.text
    talk.do("message", text="put them around one table")
    talk.tap("✅ Edit")
    workers.place()

    assert asked.startswith("Own prompt")
    assert "That makes 3 photos." in counted
    assert "3 of 4 photos were taken, the first ones." in counted
    assert Job.objects.get().images.count() == 3


class TestTheCommandToEdit:
    """Words that come with it are the wish."""

    @pytest.mark.parametrize("command", ["/edit", "/EDIT@qwenedit_sandbox_bot"])
    def test_below_a_photo(self, talk: Talk, photo: str, command: str) -> None:
        talk.do("photo", data=photo, caption=f"{command} {WISH}")
        assert Order.objects.get().prompt == WISH

    def test_alone_below_a_photo(self, talk: Talk, photo: str) -> None:
        talk.do("photo", data=photo, caption="/edit")
        assert talk.text.startswith("Got your photo.")

    @pytest.mark.parametrize("between", [" ", "\n"])
    def test_after_a_photo(self, talk: Talk, photo: str, between: str) -> None:
        talk.do("photo", data=photo)
        talk.do("message", text=f"/edit{between}{WISH}")
        assert f"✍️ {WISH}" in talk.text
        talk.tap("✅ Edit")
        assert Order.objects.get().prompt == WISH

    def test_before_a_photo(self, talk: Talk, photo: str) -> None:
        talk.do("message", text=f"/edit {WISH}")
        assert "Now send the photo." in talk.text
        talk.do("photo", data=photo)
        talk.tap("✅ Edit")
        assert Order.objects.get().prompt == WISH

    def test_with_words_that_are_no_wish(self, talk: Talk, photo: str) -> None:
        talk.do("photo", data=photo)
        talk.do("message", text="/edit it")
        assert "at least 5 characters" in talk.text
        talk.do("message", text=WISH)
        assert f"✍️ {WISH}" in talk.text
