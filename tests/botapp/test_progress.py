"""An edit on its way shows how far it is: on change, seldom enough, and never over its end."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from botapp.models import Order
from botapp.orders import leases, progress, wording
from botapp.outbox import pace
from botapp.texts import Texts
from jobs.models import Job
from jobs.states import JobStatus
from tests.botapp.editing import WISH
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.factories import JobFactory
from tests.telegram import Telegram

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def waiting(talk: Talk, photo: str, workers: Workers) -> Order:
    """An order in the queue."""
    talk.do("photo", data=photo, caption=WISH)
    workers.place()
    return Order.objects.get()


def edits(telegram: Telegram) -> int:
    """Return how often the bot has edited a message."""
    return len(telegram.calls("editMessageText"))


def run(order: Order, progress: int) -> None:
    """Let the job of an order be that far."""
    Job.objects.filter(order=order).update(
        status=JobStatus.RUNNING,
        progress=progress,
        lease_token="5b5b5b5b-5b5b-5b5b-5b5b-5b5b5b5b5b5b",
        lease_until=timezone.now() + timedelta(minutes=1),
    )


def test_the_message_follows_the_edit_through_queue_and_work(
    waiting: Order, talk: Talk, workers: Workers
) -> None:
    JobFactory.create(priority=Job.Priority.INTERACTIVE + 1)
    workers.refresh()
    second = talk.text
    run(waiting, 42)
    workers.refresh()

    assert "🕐 In the queue: place 2. About 40 seconds until the result." in second
    assert "🎨 At work: ▓▓▓▓░░░░░░ 40 %" in talk.text
    assert talk.text.endswith("Charged: 30 points. Balance: 30 points.")
    assert talk.labels == ["✖ Cancel"]


def test_waiting_for_the_gpu_is_told_honestly(waiting: Order, talk: Talk, workers: Workers) -> None:
    Job.objects.update(waiting_for_gpu=True)
    workers.refresh()
    assert "Waiting for the GPU: it does not answer at the moment." in talk.text
    assert "You can cancel" in talk.text


def test_another_attempt_is_told(waiting: Order, talk: Talk, workers: Workers) -> None:
    Job.objects.update(failures=1)
    workers.refresh()
    assert "It did not work the first time, trying again." in talk.text


def test_a_message_is_edited_on_change_only(waiting: Order, telegram: Telegram, workers: Workers) -> None:
    before = edits(telegram)
    assert workers.refresh() == 0
    run(waiting, 40)
    assert workers.refresh() == 1
    run(waiting, 43)  # not worth an edit
    assert workers.refresh() == 0
    assert edits(telegram) == before + 1


def test_two_edits_of_a_message_are_three_seconds_apart(waiting: Order, workers: Workers) -> None:
    run(waiting, 40)
    waiting.refresh_from_db()
    assert waiting.shown_at is not None
    assert progress.refresh(waiting.shown_at + timedelta(seconds=2.9)) == 0
    assert progress.refresh(waiting.shown_at + timedelta(seconds=3)) == 1


def test_progress_waits_where_the_bot_may_not_speak(waiting: Order, workers: Workers) -> None:
    run(waiting, 40)
    pace.pause(60, chat_id=waiting.chat_id)
    assert workers.refresh() == 0


def test_a_refusal_for_speed_is_heard_by_everybody(
    waiting: Order, telegram: Telegram, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MOMENT", 60.0)
    run(waiting, 40)
    telegram.fault(method="editMessageText", code=429, retry_after=60)
    assert workers.refresh() == 0
    assert pace.may_edit(waiting.chat_id) is False
    assert pace.paused_for() > 0


def test_progress_never_covers_the_end(waiting: Order, talk: Talk, workers: Workers, node: Any) -> None:
    workers.edit()
    Order.objects.update(shown="")  # as if the look had begun before the end
    assert workers.refresh() == 0
    workers.send()
    assert workers.refresh() == 0
    assert "photo" in talk.last


def test_progress_gives_way_to_whoever_talks_about_the_order(waiting: Order, workers: Workers) -> None:
    run(waiting, 40)
    with leases.held(waiting.pk):
        assert workers.refresh() == 0
    pace.pause(0.001)
    assert Order.objects.get().shown == waiting.shown


def test_a_job_that_ends_while_its_message_is_looked_at_is_not_covered(
    waiting: Order, talk: Talk, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(waiting, 40)

    def ends(_chat_id: int) -> bool:
        Job.objects.update(status=JobStatus.CANCELLED)
        return True

    monkeypatch.setattr(pace, "may_edit", ends)
    assert workers.refresh() == 0
    assert "In the queue" in talk.text


def test_trouble_at_telegram_costs_a_look_and_no_more(
    waiting: Order, telegram: Telegram, talk: Talk, workers: Workers, valkey: Any
) -> None:
    run(waiting, 40)
    telegram.fault(method="editMessageText", code=500)
    assert workers.refresh() == 0
    valkey.flushall()
    assert workers.refresh() == 1
    assert "40 %" in talk.text


def test_a_deleted_message_is_not_sent_anew(waiting: Order, talk: Talk, workers: Workers) -> None:
    talk.telegram.act("delete_message", user_id=talk.user_id, message_id=waiting.message_id)
    run(waiting, 40)
    workers.refresh()
    assert talk.telegram.said(talk.user_id) == []


@pytest.mark.parametrize(
    ("seconds", "russian", "english"),
    [
        (0, "10 секунд", "10 seconds"),
        (21, "30 секунд", "30 seconds"),
        (120, "120 секунд", "120 seconds"),
        (121, "3 минут", "3 minutes"),
        (1250, "21 минуты", "21 minutes"),
    ],
)
def test_how_long_it_takes_is_said_in_round_numbers(seconds: int, russian: str, english: str) -> None:
    assert wording.duration(Texts("ru"), seconds) == russian
    assert wording.duration(Texts("en"), seconds) == english
