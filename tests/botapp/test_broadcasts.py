"""Broadcasts: to whom they go, how they are fed, stopped and finished, and what Telegram is sent."""

import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone
from PIL import Image

from botapp import outbox
from botapp.models import Broadcast, Chat, Delivery, DeliveryStatus
from botapp.outbox import broadcasts, pace, sending
from botapp.outbox.broadcast_message import InvalidBroadcast, send_test
from botapp.outbox.broadcasts import BroadcastBegun
from jobs.states import JobStatus
from payments.models import PaymentStatus
from qwenedit.users.models import User
from tests.factories import BroadcastFactory, ChatFactory, JobFactory, PaymentFactory
from tests.telegram import Telegram
from tests.threads import at_once, errors

pytestmark = pytest.mark.django_db(transaction=True)

PLENTY = 10_000
NO_PARSE = "Bad Request: can't parse entities: Unsupported start tag"


def picture() -> ContentFile:
    """Return a small JPEG."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(file, "JPEG")
    return ContentFile(file.getvalue(), "news.jpg")


def started(**fields: object) -> Broadcast:
    """Return a broadcast that is being sent."""
    broadcast: Broadcast = BroadcastFactory.create(**fields)
    broadcasts.start(broadcast=broadcast, staff_id=None)
    broadcast.refresh_from_db()
    return broadcast


def hurry() -> None:
    """Let the time of everything come."""
    for chat_id in Delivery.objects.values_list("chat_id", flat=True):
        pace._shared().set(f"{pace.PREFIX}chat:{chat_id}", 0)
    Delivery.objects.unfinished().update(next_try_at=timezone.now())


def test_everybody_gets_it_in_their_language_with_picture_and_button(
    telegram: Telegram, alice_chat: Chat, bob_chat: Chat
) -> None:
    broadcast = started(
        picture=picture(),
        button_text_ru="Подробнее",
        button_text_en="More",
        button_url="https://news.example.org/",
    )

    assert broadcasts.feed(most_waiting=PLENTY) == 2
    while Delivery.objects.unfinished().exists():
        sending.send_bulk()
        hurry()  # one waits while the other uploads the picture
    broadcasts.feed(most_waiting=PLENTY)

    [english], [russian] = telegram.said(alice_chat.pk), telegram.said(bob_chat.pk)
    assert (english["caption"], russian["caption"]) == ("News", "Новости")
    assert [row[0]["label"] for row in (*english["buttons"], *russian["buttons"])] == ["More", "Подробнее"]
    assert english["buttons"][0][0]["url"] == "https://news.example.org/"
    assert english["photo"]["file_id"] == russian["photo"]["file_id"], "uploaded once, then sent by its id"
    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.total, broadcast.sent, broadcast.failed) == ("finished", 2, 2, 0)
    assert broadcast.finished_at is not None


def test_each_segment_has_its_people(alice: User, bob: User, charlie: User) -> None:
    User.objects.filter(pk=bob.pk).update(language="ru")
    for user in (alice, bob, charlie):
        ChatFactory.create(user=user)
    now = timezone.now()
    Chat.objects.filter(user=charlie).update(active_at=now - timedelta(days=31))
    JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)
    JobFactory.create(user=bob, status=JobStatus.FAILED)
    PaymentFactory.create(user=bob, status=PaymentStatus.SUCCEEDED)
    PaymentFactory.create(user=charlie, status=PaymentStatus.PENDING)
    ChatFactory.create(gone_at=now)
    ChatFactory.create(user__is_blocked=True)
    ChatFactory.create(created_at=now + timedelta(hours=1))

    found = {
        segment: set(
            broadcasts.audience(BroadcastFactory.build(segment=segment), now).values_list(
                "user__username", flat=True
            )
        )
        for segment in Broadcast.Segment
    }

    assert found == {
        "everybody": {"alice", "bob", "charlie"},
        "ru": {"bob"},
        "en": {"alice", "charlie"},
        "active": {"alice", "bob"},
        "away": {"charlie"},
        "never_edited": {"bob", "charlie"},
        "paid": {"bob"},
    }


def test_it_is_written_in_steps_while_few_wait_and_for_each_chat_once(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcasts, "STEP", 2)
    chats = ChatFactory.create_batch(7)
    broadcast = started()

    assert broadcasts.feed(most_waiting=3) == 4
    assert broadcasts.feed(most_waiting=3) == 0
    Delivery.objects.update(status=DeliveryStatus.SENT, finished_at=timezone.now())
    assert broadcasts.feed(most_waiting=3) == 3
    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.sent) == ("sending", 4)
    Delivery.objects.update(status=DeliveryStatus.SENT, finished_at=timezone.now())
    assert broadcasts.feed(most_waiting=3) == 0

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.sent) == ("finished", 7)
    assert sorted(Delivery.objects.values_list("chat_id", flat=True)) == sorted(chat.pk for chat in chats)
    assert set(Delivery.objects.values_list("broadcast_id", "kind")) == {(broadcast.pk, "broadcast")}


def test_it_is_started_once(alice_chat: Chat) -> None:
    broadcast = BroadcastFactory.create()
    broadcasts.start(broadcast=broadcast, staff_id=None)

    with pytest.raises(BroadcastBegun):
        broadcasts.start(broadcast=broadcast, staff_id=None)


@pytest.mark.postgres
def test_feeders_and_a_stop_at_once_leave_nothing_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcasts, "STEP", 3)
    ChatFactory.create_batch(40)
    broadcast = started()

    done = at_once(
        *[lambda: broadcasts.feed(most_waiting=PLENTY)] * 3,
        lambda: broadcasts.stop(broadcast_id=broadcast.pk, reason="a typing error"),
    )

    assert errors(done) == []
    assert set(Delivery.objects.values_list("status", flat=True)) <= {"cancelled"}
    assert Delivery.objects.values("chat_id").distinct().count() == Delivery.objects.count()


def test_a_stop_takes_back_what_waits_and_what_is_put_back(telegram: Telegram, alice_chat: Chat) -> None:
    ChatFactory.create()
    broadcast = started()
    broadcasts.feed(most_waiting=PLENTY)
    claim = outbox.claim(sending.BULK, most=1)
    assert claim is not None

    assert broadcasts.stop(broadcast_id=broadcast.pk, reason="a typing error")
    assert not broadcasts.stop(broadcast_id=broadcast.pk, reason="again")
    outbox.postpone(claim.deliveries[0], 0, is_try=False, is_begun=False)
    sending.send_bulk()

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.failure) == ("stopped", "a typing error")
    assert list(Delivery.objects.values_list("status", flat=True)) == ["cancelled", "cancelled"]
    assert telegram.calls("sendMessage") == []


def test_a_message_that_telegram_refuses_stops_its_broadcast(
    telegram: Telegram, meet: Callable[[User], Chat], settings: object
) -> None:
    settings.BOT_MESSAGES_PER_SECOND = 1000  # type: ignore[attr-defined]
    chats = ChatFactory.create_batch(40)
    for chat in chats:
        telegram.meet(chat.user)
    telegram.fault(method="sendMessage", code=400, description=NO_PARSE, times=None)
    broadcast = started()
    broadcasts.feed(most_waiting=PLENTY)

    sending.send_bulk()

    broadcast.refresh_from_db()
    assert broadcast.status == "stopped"
    assert "can't parse entities" in broadcast.failure.lower()
    assert len(telegram.calls("sendMessage")) < 30
    assert not Delivery.objects.unfinished().exists()


def test_chats_that_can_not_be_sent_to_stop_no_broadcast(telegram: Telegram, alice_chat: Chat) -> None:
    ChatFactory.create_batch(broadcasts.MOST_REFUSED + 2)
    broadcast = started()
    broadcasts.feed(most_waiting=PLENTY)

    sending.send_bulk()
    broadcasts.feed(most_waiting=PLENTY)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.sent, broadcast.failed) == ("finished", 1, 12)
    assert Chat.objects.filter(gone_at=None).count() == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"text_ru": "<b>Новости"},
        {"text_en": "<h1>News</h1>"},
        {"text_en": "1 < 2"},
        {"text_ru": " "},
        {"button_url": "https://news.example.org/"},
        {"button_text_ru": "Да", "button_text_en": "Yes"},
        {"picture": "broadcasts/some.jpg", "text_en": "🎉" * 600},
    ],
)
def test_what_telegram_would_refuse_is_not_started(fields: dict[str, str], db: None) -> None:
    broadcast = BroadcastFactory.create(**fields)

    with pytest.raises(InvalidBroadcast):
        broadcasts.start(broadcast=broadcast, staff_id=None)

    broadcast.refresh_from_db()
    assert (broadcast.status, broadcast.started_at) == ("draft", None)


def test_a_trial_goes_to_one_chat_in_both_languages(
    telegram: Telegram, alice_chat: Chat, bob_chat: Chat
) -> None:
    broadcast = BroadcastFactory.create(picture=picture())

    send_test(broadcast, alice_chat.pk)

    assert telegram.words(alice_chat.pk) == ["Новости", "News"]
    assert telegram.said(bob_chat.pk) == []
    broadcast.refresh_from_db()
    assert broadcast.status == "draft"
    assert broadcast.picture_file_id == telegram.said(alice_chat.pk)[-1]["photo"]["file_id"]


def test_a_trial_says_what_telegram_refuses(telegram: Telegram, alice_chat: Chat) -> None:
    telegram.fault(method="sendMessage", code=400, description=NO_PARSE)

    with pytest.raises(InvalidBroadcast, match="Can't parse entities"):
        send_test(BroadcastFactory.create(), alice_chat.pk)
