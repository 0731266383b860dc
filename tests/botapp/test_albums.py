"""Several photos at once are taken together, and answered once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from botapp import updates
from botapp.conversation import albums
from botapp.models import AlbumPhoto, Chat, Order
from jobs.models import Job
from tests.botapp.editing import WISH, drawn
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.factories import PresetFactory

pytestmark = pytest.mark.django_db(transaction=True)
SIZES = ((40, 30), (50, 30), (60, 30), (70, 30), (80, 30))


def send(talk: Talk, count: int, **more: Any) -> str:
    """Send an album of pictures as wide as SIZES and return its id."""
    done = talk.do("album", items=[{"data": drawn(*size)} for size in SIZES[:count]], **more)
    return str(done["media_group_id"])


def collect(talk: Talk, group: str) -> bool:
    """Collect an album once nothing more of it can be expected."""
    later(2)
    return albums.collect(talk.user_id, group)


def later(seconds: float) -> None:
    """Let time pass since the parts of albums came."""
    AlbumPhoto.objects.update(received_at=timezone.now() - timedelta(seconds=seconds))


def test_an_album_with_a_caption_is_one_order_of_all_its_photos(
    talk: Talk, workers: Workers, node: Any
) -> None:
    group = send(talk, 3, caption=WISH)
    unanswered = talk.telegram.said(talk.user_id)
    collect(talk, group)
    workers.finish()

    assert unanswered == []
    [said] = talk.telegram.said(talk.user_id)
    assert said["caption"] == f"✍️ {WISH}\n3 photos\n\nCharged: 30 points. Balance: 30 points."
    inputs = Job.objects.get().images.filter(role="input").order_by("position")
    assert [image.width for image in inputs] == [40, 50, 60]
    assert not AlbumPhoto.objects.exists()


def test_of_more_than_three_photos_the_first_are_taken_and_that_is_said(talk: Talk, workers: Workers) -> None:
    group = send(talk, 5, caption=WISH)
    collect(talk, group)
    accepted = talk.text
    workers.place()

    assert "3 of 5 photos were taken, the first ones." in accepted
    assert "3 of 5 photos were taken" in talk.text
    inputs = Job.objects.get().images.order_by("position")
    assert [image.width for image in inputs] == [40, 50, 60]


def test_an_album_without_words_is_asked_about_once(talk: Talk) -> None:
    collect(talk, send(talk, 4))
    [asked] = talk.telegram.words(talk.user_id)
    talk.do("message", text=WISH)
    talk.tap("✅ Edit")

    assert asked.startswith("Got 3 photos.")
    assert "3 of 4 photos were taken" in asked
    order = Order.objects.get()
    assert (len(order.photos), order.left_out) == (3, 1)


def test_an_album_is_not_answered_before_its_last_part(talk: Talk, monkeypatch: Any) -> None:
    monkeypatch.setattr(albums, "QUIET", timedelta(minutes=1))
    group = send(talk, 2)
    assert albums.collect(talk.user_id, group) is False
    assert talk.telegram.said(talk.user_id) == []


def test_an_album_that_is_collected_twice_is_answered_once(talk: Talk) -> None:
    group = send(talk, 2, caption=WISH)
    assert collect(talk, group) is True
    assert collect(talk, group) is False
    assert Order.objects.count() == 1
    assert len(talk.telegram.said(talk.user_id)) == 1


def test_an_album_fills_the_photos_that_a_preset_asks_for(talk: Talk) -> None:
    preset = PresetFactory.create(title_en="Dress", photos=2)
    Chat.objects.filter(pk=talk.user_id).update(draft={"preset_id": preset.pk})

    collect(talk, send(talk, 3))
    talk.tap("✅ Edit")

    order = Order.objects.get()
    assert (order.preset, len(order.photos), order.left_out) == (preset, 2, 1)


def test_parts_that_are_no_pictures_are_left_out(talk: Talk) -> None:
    pdf = {"data": "JVBERi0=", "as_document": True, "file_name": "thesis.pdf"}
    file = {"data": drawn(90, 90), "as_document": True, "file_name": "sea.png"}
    group = talk.do("album", items=[pdf, file], caption=WISH)["media_group_id"]
    collect(talk, group)

    order = Order.objects.get()
    assert ([photo["name"] for photo in order.photos], order.left_out) == (["sea.png"], 1)
    assert "1 of 2 photos were taken" in talk.text


def test_an_album_without_any_picture_is_refused_in_one_answer(talk: Talk) -> None:
    pdf = {"data": "JVBERi0=", "as_document": True, "file_name": "thesis.pdf"}
    collect(talk, talk.do("album", items=[pdf, pdf], caption=WISH)["media_group_id"])

    [said] = talk.telegram.words(talk.user_id)
    assert said.startswith("I work with pictures only")
    assert not AlbumPhoto.objects.exists()


def test_albums_whose_wake_ups_were_lost_are_swept(talk: Talk) -> None:
    send(talk, 2, caption=WISH)
    assert albums.sweep(timezone.now()) == 0
    later(10)
    assert albums.sweep(timezone.now()) == 1
    assert Order.objects.count() == 1


def test_an_album_is_answered_later_where_telegram_was_in_trouble(talk: Talk) -> None:
    group = send(talk, 2)
    talk.telegram.fault(method="sendMessage", code=500)
    collect(talk, group)
    assert talk.telegram.said(talk.user_id) == []

    collect(talk, group)
    assert talk.text.startswith("Got 2 photos.")
    assert not AlbumPhoto.objects.exists()


def test_a_person_who_blocked_the_bot_is_not_asked_again(talk: Talk) -> None:
    group = send(talk, 2)
    talk.do("block")
    collect(talk, group)
    assert not AlbumPhoto.objects.exists()
    assert Chat.objects.get(pk=talk.user_id).gone_at is not None


def test_an_album_waits_for_the_answer_that_is_being_given(talk: Talk, monkeypatch: Any) -> None:
    monkeypatch.setattr(albums, "PATIENCE", 0.1)
    group = send(talk, 2)

    def meanwhile(turn: Any) -> None:
        assert collect(talk, group) is False

    assert updates.with_chat(talk.user_id, meanwhile)
    assert talk.telegram.said(talk.user_id) == []
    assert collect(talk, group) is True


def test_what_comes_while_an_album_is_answered_is_answered_after_it(talk: Talk) -> None:
    def meanwhile(turn: Any) -> None:
        talk.do("message", text="hello")
        assert talk.telegram.said(talk.user_id) == []

    updates.with_chat(talk.user_id, meanwhile)
    assert talk.text.startswith("What shall we do?")


def video(talk: Talk, group: str, *, message_id: int = 5, caption: str = "") -> None:
    """Let Telegram tell of a video that is a part of an album."""
    content = {"file_id": "f", "file_unique_id": "u", "width": 9, "height": 9, "duration": 1}
    message = {
        "message_id": message_id,
        "date": 1,
        "from": {"id": talk.user_id, "is_bot": False, "first_name": "Alice"},
        "chat": {"id": talk.user_id, "type": "private"},
        "media_group_id": group,
        "video": content,
    }
    message |= {"caption": caption} if caption else {}
    talk.telegram.act("send_update", update={"message": message})
    talk.answer()


def test_a_video_among_photos_is_left_out_and_its_words_are_those_of_the_album(talk: Talk) -> None:
    group = send(talk, 2)
    video(talk, group, caption=WISH)
    assert talk.telegram.said(talk.user_id) == []
    collect(talk, group)

    [said] = talk.telegram.words(talk.user_id)
    assert said.startswith(f"✍️ {WISH}\n2 photos\n2 of 3 photos were taken")
    assert Order.objects.get().prompt == WISH


def test_an_album_of_videos_is_refused_in_one_answer(talk: Talk) -> None:
    for number in range(3):
        video(talk, "videos", message_id=5 + number)
    collect(talk, "videos")

    [said] = talk.telegram.words(talk.user_id)
    assert said.startswith("I edit photos, not videos yet.")


def test_a_command_to_edit_below_an_album_is_no_part_of_the_wish(talk: Talk) -> None:
    collect(talk, send(talk, 2, caption=f"/edit {WISH}"))
    assert Order.objects.get().prompt == WISH
