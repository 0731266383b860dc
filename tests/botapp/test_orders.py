"""An order on its way to a job: confirmed once, cancelled in time, and repaired wherever it was left."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from botapp.handlers import orders
from botapp.models import Chat, IncomingUpdate, Order, OrderStatus
from botapp.orders import display, leases, placing, submitting
from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.models import LedgerEntry
from tests.botapp.editing import WISH, balance, drawn
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.factories import give_points
from tests.telegram import Telegram
from tests.threads import at_once, errors

pytestmark = pytest.mark.django_db(transaction=True)


class Crash(BaseException):
    """The process dies: nothing that it would still do is done."""


def charges() -> int:
    """Return how many points were taken for edits, less what came back."""
    kinds = (LedgerEntry.Kind.EDIT, LedgerEntry.Kind.EDIT_REFUND)
    return -sum(LedgerEntry.objects.filter(kind__in=kinds).values_list("amount", flat=True))


def order(talk: Talk, photo: str) -> Order:
    """Let alice order a sketch of her portrait."""
    talk.do("photo", data=photo, caption=WISH)
    return Order.objects.latest("pk")


def crashing(*_arguments: Any, **_options: Any) -> Any:
    """Stand in for a line at which the process dies."""
    raise Crash


def leave_lease() -> None:
    """Let the leases of a dead process run out."""
    Order.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


class TestConfirming:
    def test_two_presses_at_once_make_one_order(self, talk: Talk, photo: str, workers: Workers) -> None:
        talk.do("photo", data=photo)
        talk.do("message", text=WISH)
        talk.tap("✅ Edit", times=2)
        workers.place()

        assert Order.objects.count() == Job.objects.count() == 1
        assert charges() == 30
        assert talk.toasts == ["This edit is already on its way."]

    def test_a_press_on_an_old_screen_orders_nothing(self, talk: Talk, photo: str) -> None:
        talk.do("photo", data=photo)
        talk.do("message", text=WISH)
        old = talk.last["message_id"]
        talk.do("message", text="make it a watercolour")
        talk.tap("✅ Edit", message_id=old)
        talk.tap("✖ Cancel", message_id=old)

        assert not Order.objects.exists()
        assert talk.toasts == ["This screen is out of date. Please send the photo again."] * 2
        talk.tap("✅ Edit")
        assert Order.objects.get().prompt == "make it a watercolour"

    def test_a_dropped_draft_is_gone(self, talk: Talk, photo: str) -> None:
        talk.do("photo", data=photo)
        talk.do("message", text=WISH)
        screen = talk.last["message_id"]
        talk.tap("✖ Cancel")
        dropped = talk.text
        talk.do("message", text=WISH)

        assert dropped == "Dropped. Nothing was charged."
        assert talk.telegram.said(talk.user_id)[-2]["message_id"] == screen
        assert talk.text.endswith("Now send the photo.")

    def test_points_that_were_spent_meanwhile_are_missed_by_the_press(
        self, talk: Talk, photo: str, alice_chat: Chat
    ) -> None:
        talk.do("photo", data=photo)
        talk.do("message", text=WISH)
        give_points(alice_chat.user, -40)
        talk.tap("✅ Edit")

        assert talk.toasts == ["You are short by 10 points."]
        assert not Order.objects.exists()

    def test_a_press_that_is_answered_again_says_what_was_not_said(
        self, talk: Talk, photo: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        talk.do("photo", data=photo)
        talk.do("message", text=WISH)
        with monkeypatch.context() as patch:
            patch.setattr(orders.placing, "announce", crashing)
            with pytest.raises(Crash):
                talk.tap("✅ Edit")
        Chat.objects.update(lease_token=None)
        leave_lease()
        IncomingUpdate.objects.update(next_try_at=timezone.now())
        talk.tap("✅ Edit")

        assert "⏳ Accepted" in talk.text
        assert Order.objects.count() == 1


class TestPlacing:
    def test_photos_that_telegram_hands_out_late_are_asked_for_again(
        self, talk: Talk, photo: str, workers: Workers
    ) -> None:
        made = order(talk, photo)
        talk.telegram.fault(method="getFile", code=500, times=2)
        for _ in range(3):
            workers.place()

        made.refresh_from_db()
        assert (made.status, made.tries) == (OrderStatus.SUBMITTED, 3)
        assert "In the queue" in talk.text

    def test_photos_that_never_come_end_in_an_honest_refusal(
        self, talk: Talk, photo: str, workers: Workers
    ) -> None:
        made = order(talk, photo)
        talk.telegram.fault(method="getFile", code=502, times=None)
        for _ in range(submitting.MOST_TRIES + 2):
            workers.place()

        made.refresh_from_db()
        assert made.status == OrderStatus.REFUSED
        assert made.failure.startswith("photos_unavailable")
        assert "Telegram does not hand the photo out." in talk.text
        assert talk.text.endswith("Nothing was charged.")
        assert talk.labels == ["🔁 Try again", "☰ Menu"]
        assert charges() == 0

        talk.telegram.clear_faults()
        talk.tap("🔁 Try again")
        workers.place()
        assert "In the queue" in talk.text
        assert charges() == 30

    def test_photos_that_are_late_are_said_to_be(self, talk: Talk, photo: str, workers: Workers) -> None:
        order(talk, photo)
        talk.telegram.fault(method="getFile", code=502, times=None)
        workers.place()
        assert "fetching the photo" in talk.text
        workers.place()
        assert "The photo has not come from Telegram yet, asking again" in talk.text

    @pytest.mark.parametrize(("method", "code"), [("getFile", 400), ("download", 404), ("download", 403)])
    def test_photos_that_telegram_has_no_more_are_refused_at_once(
        self, talk: Talk, photo: str, workers: Workers, method: str, code: int
    ) -> None:
        made = order(talk, photo)
        talk.telegram.fault(method=method, code=code)
        workers.place()

        made.refresh_from_db()
        assert made.status == OrderStatus.REFUSED
        assert "Telegram does not hand the photo out." in talk.text
        assert talk.labels == ["🔁 Try again", "☰ Menu"]
        assert charges() == 0

    def test_a_file_that_is_no_picture_is_refused_without_a_charge(
        self, talk: Talk, workers: Workers
    ) -> None:
        talk.do("document", size=5000, file_name="cat.jpg", mime_type="image/jpeg", caption=WISH)
        workers.place()

        assert "There is no picture in this file." in talk.text
        assert talk.labels == ["☰ Menu"]
        assert charges() == 0
        assert not JobImage.objects.exists()

    def test_points_that_are_spent_before_the_photos_came_refuse_the_order(
        self, talk: Talk, photo: str, workers: Workers
    ) -> None:
        for _ in range(3):
            order(talk, photo)
        workers.place()

        statuses = sorted(Order.objects.values_list("status", flat=True))
        assert statuses == [OrderStatus.REFUSED, OrderStatus.SUBMITTED, OrderStatus.SUBMITTED]
        assert "You are short by 30 points." in talk.text
        assert talk.labels == ["💰 Top up", "🔁 Try again", "☰ Menu"]
        assert charges() == 60

    def test_one_edit_too_many_is_refused_until_another_ends(
        self, talk: Talk, photo: str, workers: Workers, settings: Any
    ) -> None:
        settings.MAX_ACTIVE_JOBS_PER_USER = 1
        order(talk, photo)
        order(talk, photo)
        workers.place()
        assert "You already have 1 unfinished edits." in talk.text
        assert talk.labels[0] == "🔁 Try again"

    def test_who_blocks_the_bot_in_the_middle_is_charged_nothing(
        self, talk: Talk, photo: str, workers: Workers
    ) -> None:
        made = order(talk, photo)
        Order.objects.update(shown="", message_id=None)
        talk.telegram.act("block", user_id=talk.user_id)
        workers.place()

        made.refresh_from_db()
        assert made.status == OrderStatus.REFUSED
        assert charges() == 0

    def test_an_account_that_was_blocked_meanwhile_is_refused(
        self, talk: Talk, photo: str, workers: Workers, alice_chat: Chat
    ) -> None:
        order(talk, photo)
        alice_chat.user.is_blocked = True
        alice_chat.user.save()
        workers.place()
        assert "This account is blocked." in talk.text

    def test_a_pause_that_telegram_asks_for_is_kept(self, talk: Talk, photo: str, workers: Workers) -> None:
        made = order(talk, photo)
        talk.telegram.fault(method="getFile", code=429, retry_after=25)
        workers.place()

        made.refresh_from_db()
        assert made.status == OrderStatus.ACCEPTED
        assert made.next_try_at is not None
        assert made.next_try_at > timezone.now() + timedelta(seconds=20)

    def test_a_mistake_of_ours_is_tried_again_and_ends_in_a_refusal(
        self, talk: Talk, photo: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = order(talk, photo)

        def broken(**_arguments: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(submitting, "submit_job", broken)
        for _ in range(submitting.MOST_TRIES + 2):
            workers.place()

        made.refresh_from_db()
        assert made.failure.startswith("internal_error")
        assert "a mistake on our side" in talk.text


class TestCrashes:
    def test_an_order_whose_message_was_not_sent_gets_it_from_the_sweep(
        self, talk: Talk, photo: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(placing, "tell", crashing)
            with pytest.raises(Crash):
                talk.do("photo", data=photo, caption=WISH)
        assert talk.telegram.said(talk.user_id) == []

        Order.objects.update(**leases.fresh())  # a process that really dies gives nothing back
        assert submitting.submit_due() == 0  # it may yet say so itself
        leave_lease()
        assert submitting.submit_due() == 1
        assert "In the queue" in talk.text

    @pytest.mark.parametrize("line", ["_say_accepted", "read_photo", "_link"])
    def test_a_crash_while_an_order_is_placed_is_repaired_by_the_next_try(
        self, talk: Talk, photo: str, workers: Workers, monkeypatch: pytest.MonkeyPatch, line: str
    ) -> None:
        order(talk, photo)
        with monkeypatch.context() as patch:
            patch.setattr(submitting, line, crashing)
            with pytest.raises(Crash):
                workers.place()

        leave_lease()
        workers.place()
        assert Order.objects.get().status == OrderStatus.SUBMITTED
        assert charges() == 30
        assert len(talk.telegram.said(talk.user_id)) == 1

    def test_a_job_that_was_submitted_is_found_though_its_photo_is_gone(
        self, talk: Talk, photo: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order(talk, photo)
        with monkeypatch.context() as patch:
            patch.setattr(submitting, "_link", crashing)
            with pytest.raises(Crash):
                workers.place()
        leave_lease()
        talk.telegram.fault(method="getFile", code=400, description="Bad Request: file is gone", times=None)
        workers.place()
        assert Order.objects.get().job == Job.objects.get()

    def test_a_crash_before_the_queue_was_told_is_repaired_by_the_progress(
        self, talk: Talk, photo: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order(talk, photo)
        with monkeypatch.context() as patch:
            patch.setattr(submitting, "tell", crashing)
            with pytest.raises(Crash):
                workers.place()
        leave_lease()
        assert workers.refresh() == 1
        assert "In the queue" in talk.text

    def test_a_refusal_that_could_not_be_said_is_said_later(self, talk: Talk, workers: Workers) -> None:
        talk.do("document", size=5000, file_name="cat.jpg", caption=WISH)
        talk.telegram.fault(method="editMessageText", code=502)
        workers.place()
        assert Order.objects.get().status == OrderStatus.ACCEPTED
        workers.place()
        assert Order.objects.get().status == OrderStatus.REFUSED
        assert "There is no picture in this file." in talk.text

    def test_an_order_that_met_trouble_is_due_again_after_a_pause(self, talk: Talk, photo: str) -> None:
        made = order(talk, photo)
        talk.telegram.fault(method="getFile", code=500)
        assert submitting.submit_due() == 1
        assert submitting.submit_due() == 0
        Order.objects.filter(pk=made.pk).update(next_try_at=timezone.now())
        assert submitting.submit_due() == 1
        assert Order.objects.get().status == OrderStatus.SUBMITTED

    def test_many_orders_are_submitted_for_a_while_and_the_rest_by_another_wake_up(
        self, talk: Talk, photo: str, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(submitting, "LONGEST_RUN", 0.0)
        order(talk, photo)
        valkey.flushall()
        assert submitting.submit_due() == 0
        [message] = valkey.lrange("qwenedit:interactive", 0, -1)
        assert json.loads(message)["headers"]["task"] == "botapp.tasks.submit_orders"

    def test_a_maker_whose_lease_ran_out_does_not_take_it_from_the_next_holder(
        self, talk: Talk, photo: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = leases.fresh()
        original = display.send

        def slow(*arguments: Any) -> Any:
            Order.objects.update(**other)
            return original(*arguments)

        monkeypatch.setattr(display, "send", slow)
        made = order(talk, photo)
        assert (made.lease_token, made.message_id is not None) == (other["lease_token"], True)

    def test_two_workers_at_one_order_make_one_job(self, talk: Talk, photo: str) -> None:
        made = order(talk, photo)
        with leases.held(made.pk):
            submitting.submit(made.pk)
            assert not Job.objects.exists()
        submitting.submit(made.pk)
        submitting.submit(made.pk)
        assert Job.objects.count() == 1


class TestCancelling:
    def test_a_queued_edit_is_cancelled_with_its_points_back_at_once(
        self, talk: Talk, photo: str, workers: Workers
    ) -> None:
        order(talk, photo)
        workers.place()
        talk.tap("✖ Cancel")
        back = balance(talk)
        workers.send()

        assert back == 60
        assert talk.toasts == ["Cancelled, your points are back."]
        assert talk.text == f"✍️ {WISH}\n\n✖ Cancelled.\n\nYour points are back: 30 points."
        assert talk.labels == ["🔁 Try again", "☰ Menu"]

    def test_an_order_that_is_not_submitted_yet_is_cancelled_for_nothing(
        self, talk: Talk, photo: str, workers: Workers
    ) -> None:
        made = order(talk, photo)
        talk.tap("✖ Cancel")
        workers.place()

        made.refresh_from_db()
        assert made.status == OrderStatus.CANCELLED
        assert talk.toasts == ["Cancelled, nothing was charged."]
        assert talk.text.endswith("✖ Cancelled. Nothing was charged.")
        assert not Job.objects.exists()

    @pytest.mark.parametrize("line", ["read_photo", "submit_job"])
    def test_an_order_cancelled_while_it_is_placed_ends_with_the_points_back(
        self, talk: Talk, photo: str, workers: Workers, monkeypatch: pytest.MonkeyPatch, line: str
    ) -> None:
        made = order(talk, photo)
        original: Callable[..., Any] = getattr(submitting, line)

        def cancelled_here(*arguments: Any, **options: Any) -> Any:
            talk.tap("✖ Cancel")
            return original(*arguments, **options)

        monkeypatch.setattr(submitting, line, cancelled_here)
        workers.place()
        workers.send()

        made.refresh_from_db()
        assert talk.toasts == ["Cancelling…"]
        assert "✖ Cancelled." in talk.text
        assert not Job.objects.unfinished().exists()
        assert balance(talk) == 60

    def test_a_job_whose_order_was_cancelled_in_a_crash_is_cancelled_by_the_next_try(
        self, talk: Talk, photo: str, workers: Workers, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order(talk, photo)
        with monkeypatch.context() as patch:
            patch.setattr(submitting, "_link", crashing)
            with pytest.raises(Crash):
                workers.place()
        talk.tap("✖ Cancel")
        workers.send()

        assert Job.objects.get().status == JobStatus.CANCELLED
        assert balance(talk) == 60
        assert "Your points are back" in talk.text

    def test_an_edit_that_has_ended_can_not_be_cancelled(
        self, talk: Talk, photo: str, workers: Workers, node: Any
    ) -> None:
        order(talk, photo)
        workers.place()
        workers.edit()
        talk.tap("✖ Cancel")
        workers.send()

        assert talk.toasts == ["Too late: this edit has ended."]
        assert "photo" in talk.last
        assert charges() == 30

    def test_nobody_cancels_what_is_somebody_elses(
        self, talk: Talk, photo: str, bob_chat: Chat, telegram: Telegram, workers: Workers
    ) -> None:
        order(talk, photo)
        workers.place()
        talk.tap("✖ Cancel", as_user=bob_chat.pk)

        [answer] = telegram.calls("answerCallbackQuery")
        assert answer["parameters"]["text"] == "Эта кнопка устарела. Откройте меню: /menu"
        assert Job.objects.get().status == JobStatus.QUEUED


def test_placing_and_cancelling_at_once_agree_on_the_points(
    talk: Talk, photo: str, workers: Workers, each_database: str
) -> None:
    made = order(talk, photo)

    outcomes = at_once(
        lambda: submitting.submit(made.pk),
        lambda: placing.cancel(made),
        lambda: submitting.submit(made.pk),
    )
    assert not errors(outcomes)
    leave_lease()
    workers.place()
    workers.send()

    made.refresh_from_db()
    assert made.status in {OrderStatus.CANCELLED, OrderStatus.SUBMITTED}
    assert not Job.objects.unfinished().exists()
    assert balance(talk) == 60
    assert "✖ Cancelled" in talk.text


def test_a_refused_order_leaves_no_files(talk: Talk, workers: Workers, alice_chat: Chat) -> None:
    talk.do("photo", data=drawn(64, 64), caption=WISH)
    give_points(alice_chat.user, -60)
    workers.place()
    assert not JobImage.objects.exists()
    assert not Job.objects.exists()
