"""Broadcasts in the admin: written, tried on oneself, started once, watched and stopped."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from botapp.models import Broadcast, BroadcastStatus, Chat, Delivery, DeliveryStatus
from qwenedit.users.models import User
from tests.admin.forms import filled, messages
from tests.factories import BroadcastFactory, ChatFactory, DeliveryFactory
from tests.telegram import Telegram

Hire = Callable[..., Client]
ADD = "admin:botapp_broadcast_add"
WRITTEN = {
    "title": "A new style",
    "segment": "everybody",
    "text_ru": "<b>Новый стиль</b>\r\nуже в меню",
    "text_en": "<b>A new style</b>\r\nis in the menu",
}


def url(name: str, broadcast: Broadcast) -> str:
    return reverse(f"admin:botapp_broadcast_{name}", args=[broadcast.pk])


def pressed(client: Client, name: str, broadcast: Broadcast, **typed: object) -> Any:
    """Press a button on the page of a broadcast, fill its form in and send it."""
    form = filled(client.get(url(name, broadcast)), **typed)
    return client.post(url(name, broadcast), form | {"apply": "1"}, follow=True)


def image(width: int, height: int) -> SimpleUploadedFile:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return SimpleUploadedFile("news.png", file.getvalue(), "image/png")


def test_a_broadcast_is_written_tried_started_and_stopped(
    telegram: Telegram, boss: Client, root: User, meet: Callable[[User], Chat]
) -> None:
    own = meet(root)
    boss.post(reverse(ADD), WRITTEN)
    broadcast = Broadcast.objects.get()
    assert (broadcast.status, broadcast.created_by, broadcast.text_en) == (
        "draft",
        root,
        "<b>A new style</b>\nis in the menu",
    )

    tried = pressed(boss, "test_this", broadcast)
    assert "Sent, in both languages" in messages(tried)
    assert telegram.words(own.pk) == ["Новый стиль\nуже в меню", "A new style\nis in the menu"]

    assert "<td>1</td>" in boss.get(url("start_this", broadcast)).text
    begun = pressed(boss, "start_this", broadcast)
    assert messages(begun) == "Started. It goes to 1 people."
    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.total) == ("sending", 1)
    assert begun.headers["Refresh"] == "10"
    assert '<progress class="qe-progress" value="0" max="1">' in begun.text

    stopped = boss.post(url("stop_this", broadcast), {"apply": "1", "reason": "too early"}, follow=True)
    assert messages(stopped) == "1 stopped."
    assert "Refresh" not in stopped.headers
    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.failure) == ("stopped", "too early")
    changes = LogEntry.objects.filter(object_id=str(broadcast.pk)).values_list("change_message", flat=True)
    assert {"Started, to 1 people", "Stopped: too early"} <= set(changes)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"text_ru": "<b>Новости"}, "is not closed"),
        ({"text_en": "<script>"}, "is none of the tags"),
        ({"button_url": "https://example.org/"}, "A button needs"),
        ({"button_url": "javascript:alert(1)", "button_text_ru": "Да", "button_text_en": "Yes"}, "valid URL"),
        ({"picture": image(2100, 100)}, "sides that fit"),
        ({"text_en": ""}, "required"),
    ],
)
def test_a_message_that_telegram_would_refuse_is_not_saved(
    typed: dict[str, Any], told: str, boss: Client
) -> None:
    answer = boss.post(reverse(ADD), WRITTEN | typed)

    assert told in answer.text
    assert not Broadcast.objects.exists()


def test_a_second_click_starts_and_sends_nothing_again(
    telegram: Telegram, boss: Client, alice_chat: Chat
) -> None:
    broadcast = BroadcastFactory.create()
    trial = filled(boss.get(url("test_this", broadcast)), chat=alice_chat.pk) | {"apply": "1"}
    start = filled(boss.get(url("start_this", broadcast))) | {"apply": "1"}

    boss.post(url("test_this", broadcast), trial)
    again = boss.post(url("test_this", broadcast), trial, follow=True)
    boss.post(url("start_this", broadcast), start)
    late = boss.post(url("start_this", broadcast), start)

    assert "was sent before" in messages(again)
    assert len(telegram.said(alice_chat.pk)) == 2
    assert late.status_code == 403  # the button is no longer there
    assert LogEntry.objects.filter(change_message__startswith="Started").count() == 1


def test_a_trial_to_nobody_the_bot_knows_is_refused(telegram: Telegram, boss: Client) -> None:
    broadcast = BroadcastFactory.create()

    answer = pressed(boss, "test_this", broadcast, chat=4242)

    assert "Nobody with this id has started the bot." in answer.text
    assert telegram.calls("sendMessage") == []


def test_a_trial_says_what_telegram_says(telegram: Telegram, boss: Client, alice_chat: Chat) -> None:
    broadcast = BroadcastFactory.create()
    telegram.act("block", user_id=alice_chat.pk)

    answer = pressed(boss, "test_this", broadcast, chat=alice_chat.pk)

    assert "bot was blocked by the user" in answer.text


def test_what_was_started_is_changed_by_nobody(boss: Client) -> None:
    broadcast = BroadcastFactory.create(status=BroadcastStatus.SENDING, started_at=timezone.now())

    assert boss.post(url("change", broadcast), WRITTEN).status_code == 403
    assert boss.post(url("delete", broadcast), {"post": "yes"}).status_code == 403
    assert "Start" not in boss.get(url("change", broadcast)).text.split("</nav>")[-1].split("<form")[0]
    broadcast.refresh_from_db()
    assert broadcast.text_en == "<b>News</b>"


def test_what_was_typed_while_somebody_started_it_does_not_make_it_a_draft_again(boss: Client) -> None:
    broadcast = BroadcastFactory.create()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botapp.admin.broadcasts._is", lambda *_: True)
        Broadcast.objects.update(status=BroadcastStatus.SENDING)
        boss.post(url("change", broadcast), WRITTEN)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.title) == ("sending", "A new style")


def test_a_new_picture_is_uploaded_anew(boss: Client) -> None:
    broadcast = BroadcastFactory.create(picture="broadcasts/old.png", picture_file_id="old")

    boss.post(url("change", broadcast), WRITTEN | {"picture": image(64, 64)})

    broadcast.refresh_from_db()
    assert broadcast.picture.name.startswith("broadcasts/news")
    assert broadcast.picture_file_id == ""


def test_nobody_sends_without_the_permission(staff: Hire) -> None:
    broadcast = BroadcastFactory.create()
    writer = staff("view_broadcast", "add_broadcast", "change_broadcast")
    form = {"apply": "1", "form_token": "0b5a5f0e-0d3c-4a44-8d9e-000000000000", "chat": "1"}

    for name in ("test_this", "start_this"):
        assert writer.get(url(name, broadcast)).status_code == 403
        assert writer.post(url(name, broadcast), form).status_code == 403
    for action in ("test", "start"):
        changelist = reverse("admin:botapp_broadcast_changelist")
        writer.post(changelist, form | {"action": action, "_selected_action": [broadcast.pk]})

    broadcast.refresh_from_db()
    assert broadcast.status == "draft"


def test_the_list_starts_one_broadcast_at_a_time(boss: Client) -> None:
    first, second = BroadcastFactory.create_batch(2)
    changelist = reverse("admin:botapp_broadcast_changelist")

    both = boss.post(changelist, {"action": "start", "_selected_action": [first.pk, second.pk]}, follow=True)
    page = boss.post(changelist, {"action": "start", "_selected_action": [first.pk]})
    form = filled(page) | {"apply": "1", "action": "start", "_selected_action": [first.pk]}
    boss.post(changelist, form)

    assert "one at a time" in messages(both)
    assert list(Broadcast.objects.order_by("pk").values_list("status", flat=True)) == ["sending", "draft"]


def test_deliveries_that_failed_are_sent_again(boss: Client, staff: Hire) -> None:
    chat = ChatFactory.create()
    failed, sent = (
        DeliveryFactory.create(chat_id=chat.pk, status=status, finished_at=timezone.now(), failure="x")
        for status in (DeliveryStatus.FAILED, DeliveryStatus.SENT)
    )
    changelist = reverse("admin:botapp_delivery_changelist")
    wish = {"action": "send_again", "_selected_action": [failed.pk, sent.pk]}

    staff("view_delivery").post(changelist, wish)
    assert not Delivery.objects.unfinished().exists()
    answer = boss.post(changelist, wish, follow=True)

    assert messages(answer) == "1 delivery waits again."
    failed.refresh_from_db()
    assert (failed.status, failed.tries, failed.failure, failed.finished_at) == ("pending", 0, "", None)
    assert LogEntry.objects.filter(object_id=str(failed.pk)).count() == 1
