"""Deleting one's data: what goes is gone, what stays was said, and it may be cut short anywhere."""

import time
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

import jobs.audit
import payments.audit
from botapp import data, updates
from botapp.models import AlbumPhoto, Chat, IncomingUpdate, JobMark, Order, OrderStatus
from jobs import erasure
from jobs.erasure import NotAllErased
from jobs.models import Attempt, Job, JobImage
from jobs.states import JobStatus
from payments.models import LedgerEntry
from qwenedit.users.models import User
from tests.botapp.editing import WISH, balance
from tests.botapp.incoming import press
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.factories import AttemptFactory, JobFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _storage_of_its_own(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path  # what other tests have left must not count


def adds_up() -> bool:
    """Tell whether the audit finds nothing."""
    return not [f for f in (*payments.audit.findings(), *jobs.audit.findings()) if f.broken]


def stored_files() -> list[Path]:
    """Return every picture in the storage."""
    return [path for path in Path(default_storage.path("")).rglob("*") if path.is_file()]


def delete(talk: Talk) -> None:
    """Go through both steps."""
    talk.do("message", text="/deletemydata")
    assert "What stays" in talk.text
    talk.tap("Yes, delete")


def test_everything_that_may_go_is_gone_and_the_books_stay(done: Order, talk: Talk, alice: User) -> None:
    JobMark.objects.create(job=done.job, is_favourite=True)
    User.objects.filter(pk=alice.pk).update(email="alice@example.org", last_name="Liddell")
    Attempt.objects.update(error_detail="about a secret")
    AlbumPhoto.objects.create(chat_id=talk.user_id, media_group_id="1", message_id=5, caption="secret")
    entries = list(LedgerEntry.objects.values_list("pk", flat=True))
    assert stored_files()

    delete(talk)

    assert "Done, your data is deleted. You have 30 points" in talk.text
    assert stored_files() == []
    assert not JobImage.objects.exists()
    assert not JobMark.objects.exists()
    assert not AlbumPhoto.objects.exists()
    job, order = Job.objects.get(), Order.objects.get()
    assert (job.prompt, job.error_message) == ("", "")
    assert (order.prompt, order.photos, order.photo_file_id, order.document_file_id) == ("", [], "", "")
    assert not Attempt.objects.exclude(error_detail="").exists()
    assert all(update.body == {} for update in IncomingUpdate.objects.all())
    alice.refresh_from_db()
    assert (alice.first_name, alice.last_name, alice.email) == ("", "", "")
    assert alice.username == f"erased-{alice.pk}"
    assert alice.telegram_id == talk.user_id
    assert list(LedgerEntry.objects.values_list("pk", flat=True)) == entries
    assert adds_up()


def test_an_edit_that_is_not_finished_is_cancelled_and_its_points_are_back(
    talk: Talk, photo: str, workers: Workers
) -> None:
    talk.do("photo", data=photo, caption=WISH)
    workers.place()
    assert balance(talk) == 30
    delete(talk)
    assert Job.objects.get().status == JobStatus.CANCELLED
    assert balance(talk) == 60
    assert stored_files() == []
    assert adds_up()


def test_an_order_that_is_no_job_yet_becomes_none(talk: Talk, photo: str, workers: Workers) -> None:
    talk.do("photo", data=photo, caption=WISH)
    delete(talk)
    workers.finish()
    assert Order.objects.get().status == OrderStatus.CANCELLED
    assert not Job.objects.exists()


def test_whoever_comes_back_gets_no_second_welcome(done: Order, talk: Talk, photo: str) -> None:
    delete(talk)
    talk.do("message", text="/start")
    assert balance(talk) == 30
    talk.do("message", text="/history")
    assert "no finished edits" in talk.text


def test_what_is_chosen_at_the_moment_is_forgotten(talk: Talk, photo: str) -> None:
    talk.do("photo", data=photo)
    assert Chat.objects.get(pk=talk.user_id).draft
    delete(talk)
    chat = Chat.objects.get(pk=talk.user_id)
    assert (chat.step, chat.draft) == ("", {})


def test_nothing_goes_before_the_second_step(done: Order, talk: Talk) -> None:
    talk.do("message", text="/deletemydata")
    talk.tap("‹ No, keep it")
    assert JobImage.objects.exists()


@pytest.mark.parametrize("seconds", [-7200, 7200, None, "x"])
def test_an_old_button_asks_again(done: Order, talk: Talk, alice: User, seconds: Any) -> None:
    argument = f":{int(time.time()) + seconds}" if isinstance(seconds, int) else f":{seconds or ''}"
    talk.do("message", text="/deletemydata")
    updates.handle_update(press(alice, f"forgetyes{argument}", message_id=talk.last["message_id"]))
    assert JobImage.objects.exists()
    assert "What stays" in talk.text


def test_what_a_crash_cut_short_is_done_when_the_update_is_tried_again(
    done: Order, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk.do("message", text="/deletemydata")
    with monkeypatch.context() as patch:

        def die(_user: User) -> int:
            raise KeyboardInterrupt

        patch.setattr(erasure, "erase", die)
        with pytest.raises(KeyboardInterrupt):
            talk.tap("Yes, delete")
    assert JobImage.objects.exists()
    now = timezone.now() + updates.LEASE
    IncomingUpdate.objects.open().update(next_try_at=timezone.now())
    updates.sweep(now)
    assert not JobImage.objects.exists()
    assert "Done, your data is deleted" in talk.text


def test_what_the_storage_keeps_is_told_and_deleted_the_next_time(
    done: Order, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_name: str) -> None:
        raise PermissionError("locked")

    with monkeypatch.context() as patch:
        patch.setattr(default_storage, "delete", refuse)
        delete(talk)
    assert "Nearly everything is deleted" in talk.text
    assert JobImage.objects.exists()
    delete(talk)
    assert "Done, your data is deleted" in talk.text
    assert stored_files() == []


def test_edits_of_other_people_and_names_of_staff_stay(talk: Talk, alice: User, bob: User) -> None:
    theirs = JobFactory.create(user=bob, status=JobStatus.SUCCEEDED)
    mine = JobFactory.create(user=alice, status=JobStatus.FAILED)
    AttemptFactory.create(job=mine, error_detail="secret")
    alice.set_password("of a clerk")
    alice.save()
    data.erase(Chat.objects.select_related("user").get(pk=talk.user_id))
    alice.refresh_from_db()
    theirs.refresh_from_db()
    assert alice.username == "alice"
    assert theirs.prompt
    assert theirs.images.exists()


def test_the_storage_that_fails_is_an_error_that_says_so(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    JobFactory.create(user=alice, status=JobStatus.SUCCEEDED)

    def refuse(*_: Any) -> None:
        raise PermissionError("locked")

    monkeypatch.setattr(default_storage, "delete", refuse)
    with pytest.raises(NotAllErased):
        erasure.erase(alice)


def test_the_buttons_below_what_was_deleted_say_why_it_is_gone(done: Order, talk: Talk) -> None:
    below = talk.last["message_id"]
    delete(talk)
    talk.tap(message_id=below, data=f"file:{done.pk}")
    assert talk.text == "This picture was deleted with your data, as you wished. Please send the photo again."
