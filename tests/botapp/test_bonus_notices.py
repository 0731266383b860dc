"""Notices of the weekly bonus: from the bonus to the chats, in bounded steps, once each."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from botapp import outbox
from botapp.models import Chat, Delivery, Lane
from botapp.outbox import bonus_notices, sending
from payments import bonus
from payments.models import BonusNotice
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.telegram import Telegram
from tests.threads import at_once, errors

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
PLENTY = 10_000


def people(count: int) -> list[Chat]:
    """Make people with chats that nobody at Telegram knows of."""
    users = UserFactory.create_batch(count, date_joined=NEW_YEAR)
    return Chat.objects.bulk_create(Chat(pk=user.telegram_id, user=user) for user in users)


def give_bonus(settings: Any) -> None:
    """Give everybody the bonus of this week."""
    settings.WEEKLY_BONUS_DAY, settings.WEEKLY_BONUS_TIME = 0, datetime.min.time()
    bonus.issue_weekly_bonus(timezone.now())


@pytest.mark.django_db(transaction=True)
def test_a_bonus_reaches_whoever_has_a_chat(
    telegram: Telegram, alice: User, meet: Callable[[User], Chat], settings: Any
) -> None:
    User.objects.update(date_joined=NEW_YEAR)
    chat = meet(alice)
    UserFactory.create(date_joined=NEW_YEAR)  # came by the API, and has no chat
    give_bonus(settings)

    assert bonus_notices.feed(most_waiting=PLENTY) == 2
    assert sending.send_bulk() == 1

    assert telegram.words(chat.pk) == ["🎁 The bonus of this week: +10 points. You have 70 points now."]
    assert not BonusNotice.objects.filter(delivered_at=None).exists()
    [delivery] = Delivery.objects.all()
    assert (delivery.lane, delivery.status, delivery.key) == (Lane.BULK, "sent", f"bonus:{delivery.subject}")


def test_a_notice_is_written_once_and_only_for_who_can_be_reached(each_database: str, settings: Any) -> None:
    chats = people(5)
    Chat.objects.filter(pk=chats[0].pk).update(gone_at=timezone.now())
    give_bonus(settings)

    assert bonus_notices.feed(most_waiting=PLENTY) == 5
    assert bonus_notices.feed(most_waiting=PLENTY) == 0

    found = Delivery.objects.values_list("chat_id", "subject", "kind", "lane", "status", "tries", "is_begun")
    entries = {entry.user_id: entry.pk for entry in (n.entry for n in BonusNotice.objects.all())}
    assert set(found) == {
        (chat.pk, entries[chat.user_id], "bonus", Lane.BULK, "pending", 0, False) for chat in chats[1:]
    }
    assert all(row.next_try_at <= timezone.now() for row in Delivery.objects.all())


def test_notices_wait_in_their_own_table_while_enough_wait_to_be_sent(
    each_database: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bonus_notices, "STEP", 2)
    people(9)
    give_bonus(settings)

    assert bonus_notices.feed(most_waiting=3) == 4
    assert bonus_notices.feed(most_waiting=3) == 0
    assert Delivery.objects.count() == 4
    claim = outbox.claim(sending.BULK, most=3)
    assert claim is not None
    for delivery in claim.deliveries:
        outbox.finish(delivery, outbox.DeliveryStatus.SENT)

    assert bonus_notices.feed(most_waiting=3) == 2

    assert BonusNotice.objects.filter(delivered_at=None).count() == 3


@pytest.mark.postgres
def test_feeders_at_once_write_every_notice_once(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bonus_notices, "STEP", 7)
    people(60)
    give_bonus(settings)

    fed = at_once(*[lambda: bonus_notices.feed(most_waiting=PLENTY)] * 4)

    assert errors(fed) == []
    assert sum(fed) == 60  # type: ignore[arg-type]
    assert Delivery.objects.count() == 60
