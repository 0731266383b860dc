"""The end of an edit reaches its owner once, whatever Telegram does; a failure says why."""

from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from PIL import Image

from botapp.models import Delivery, DeliveryStatus, Order
from botapp.orders import leases, outcome, reasons, result_media
from botapp.texts import Texts
from jobs.comfy import errors
from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.models import LedgerEntry
from tests.botapp.editing import WISH, balance
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.servers import SandboxServer

pytestmark = pytest.mark.django_db(transaction=True)


class Crash(BaseException):
    """The process dies."""


@pytest.fixture
def edited(talk: Talk, photo: str, workers: Workers, node: Any) -> Order:
    """An order whose edit is done and not told yet."""
    talk.do("photo", data=photo, caption=WISH)
    workers.place()
    workers.edit()
    return Order.objects.get()


def send_now(workers: Workers) -> None:
    """Send what is owed, after the pauses that trouble and Telegram have asked for."""
    workers.pass_pauses()
    Delivery.objects.filter(status="pending").update(next_try_at=timezone.now())
    workers.send()


def kinds(talk: Talk) -> list[str]:
    """Return what the bot's messages are."""
    return [
        "photo" if "photo" in said else "document" if "document" in said else "text"
        for said in talk.telegram.said(talk.user_id)
    ]


def replace_result(order: Order, width: int, height: int, *, noisy: bool = False) -> None:
    """Let the result be another picture."""
    assert order.job is not None
    image = order.job.images.get(role="result")
    buffer = BytesIO()
    if noisy:
        picture = Image.effect_noise((width, height), 90).convert("RGB")
    else:
        picture = Image.new("RGB", (width, height), "green")
    picture.save(buffer, "PNG")
    name = default_storage.save("results/other.png", ContentFile(buffer.getvalue()))
    JobImage.objects.filter(pk=image.pk).update(
        file=name, width=width, height=height, bytes=len(buffer.getvalue())
    )


def test_a_failed_edit_says_why_and_that_the_points_are_back(
    talk: Talk, photo: str, workers: Workers, node: Any, sandbox: SandboxServer
) -> None:
    sandbox.control(out_of_memory=3)
    talk.do("photo", data=photo, caption=WISH)
    workers.finish()

    assert Job.objects.get().status == JobStatus.FAILED
    assert "😔 That did not work. The GPU ran out of memory." in talk.text
    assert talk.text.endswith("Your points are back: 30 points.")
    assert talk.labels == ["🔁 Try again", "☰ Menu"]
    assert balance(talk) == 60

    talk.tap("🔁 Try again")
    workers.finish()
    assert kinds(talk) == ["text", "photo"]
    assert balance(talk) == 30


def test_points_are_said_to_be_back_only_if_they_are(edited: Order, talk: Talk, workers: Workers) -> None:
    # As if a mistake of ours had forgotten the refund: the words follow the ledger.
    Job.objects.update(status=JobStatus.FAILED, error_code="out_of_memory")
    assert not LedgerEntry.objects.filter(kind=LedgerEntry.Kind.EDIT_REFUND).exists()
    workers.send()
    assert "The GPU ran out of memory" in talk.text
    assert "back" not in talk.text


def test_a_crash_between_charge_and_news_is_repaired_by_the_outbox(
    edited: Order, talk: Talk, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_arguments: Any, **_options: Any) -> None:
        raise Crash

    for line in ("edit_message_media", "remember"):
        with monkeypatch.context() as patch:
            if line == "remember":
                patch.setattr(outcome.display, "remember", dies)
            else:
                patch.setattr(outcome, "_edit_into", dies)
            with pytest.raises(Crash):
                send_now(workers)
        Delivery.objects.update(next_try_at=timezone.now())
        Order.objects.update(lease_until=timezone.now())
    workers.send()

    assert kinds(talk) == ["photo"]
    assert Delivery.objects.get().status == DeliveryStatus.SENT


def test_a_message_that_was_deleted_is_replaced_by_the_picture(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    talk.telegram.act("delete_message", user_id=talk.user_id, message_id=edited.message_id)
    workers.send()

    assert kinds(talk) == ["photo"]
    edited.refresh_from_db()
    assert edited.message_id == talk.last["message_id"]


def test_a_message_that_can_not_become_a_picture_is_replaced_by_one(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    description = "Bad Request: there is no media in the message to edit"
    talk.telegram.fault(method="editMessageMedia", code=400, description=description)
    workers.send()

    [said] = talk.telegram.said(talk.user_id)
    assert said["photo"]
    assert said["message_id"] != edited.message_id


@pytest.mark.parametrize("arrived", [True, False])
def test_a_picture_whose_sending_ended_in_nobody_knows_what_is_not_sent_again(
    edited: Order, talk: Talk, workers: Workers, arrived: bool
) -> None:
    talk.telegram.act("delete_message", user_id=talk.user_id, message_id=edited.message_id)
    talk.telegram.fault(method="sendPhoto", drop=True, processed=arrived)
    send_now(workers)
    send_now(workers)

    assert kinds(talk) == (["photo", "text"] if arrived else ["text"])
    assert talk.text == "Your picture is ready. If you do not see it above, press “Show”."
    assert len(talk.telegram.calls("sendPhoto")) == 1
    talk.tap("🖼 Show")
    assert "photo" in talk.last
    assert Delivery.objects.get().status == DeliveryStatus.SENT


def test_a_picture_that_was_certainly_not_sent_is_sent_again(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    talk.telegram.act("delete_message", user_id=talk.user_id, message_id=edited.message_id)
    talk.telegram.fault(method="sendPhoto", code=429, retry_after=1)
    send_now(workers)
    assert not Delivery.objects.get().is_begun

    send_now(workers)
    assert kinds(talk) == ["photo"]


def test_an_edit_that_telegram_may_have_made_is_made_again(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    talk.telegram.fault(method="editMessageMedia", drop=True, processed=True)
    send_now(workers)
    send_now(workers)
    assert kinds(talk) == ["photo"]
    assert Delivery.objects.get().status == DeliveryStatus.SENT


def test_the_result_waits_for_the_message_of_a_young_order(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    Order.objects.update(message_id=None)
    workers.send()
    assert Delivery.objects.get().status == DeliveryStatus.PENDING
    Order.objects.update(created_at=timezone.now() - timedelta(seconds=11))
    send_now(workers)
    assert kinds(talk) == ["text", "photo"]


def test_the_result_waits_for_whoever_talks_about_the_order(
    edited: Order, talk: Talk, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "PATIENCE", 0.1)
    with leases.held(edited.pk):
        workers.send()
    assert kinds(talk) == ["text"]
    send_now(workers)
    assert kinds(talk) == ["photo"]


def test_a_result_too_heavy_for_a_photo_is_shown_smaller_and_kept_whole(
    edited: Order, talk: Talk, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_media, "MOST_PHOTO_BYTES", 400_000)
    monkeypatch.setattr(result_media, "REDUCED_SIDE", 300)
    replace_result(edited, 500, 400, noisy=True)
    workers.send()
    shown = talk.last["photo"]
    talk.tap("📄 Original file")

    assert (shown["width"], shown["height"]) == (300, 240)
    assert kinds(talk) == ["photo", "document"]
    assert talk.last["document"]["file_size"] > 400_000


def test_a_result_with_too_long_sides_for_a_photo_is_shown_smaller(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    replace_result(edited, 9900, 600)
    workers.send()
    assert kinds(talk) == ["photo"]


def test_a_result_too_narrow_for_a_photo_comes_as_a_file(edited: Order, talk: Talk, workers: Workers) -> None:
    replace_result(edited, 2100, 100)
    workers.send()
    assert kinds(talk) == ["document"]
    assert talk.labels[0] == "🔁 Again"
    talk.tap("⭐")
    assert "⭐ ✓" in talk.labels


def test_a_photo_that_telegram_does_not_take_comes_as_a_file(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    for method in ("editMessageMedia", "sendPhoto"):
        talk.telegram.fault(method=method, code=400, description="Bad Request: PHOTO_INVALID_DIMENSIONS")
    workers.send()
    assert kinds(talk) == ["document"]


def test_a_result_that_was_deleted_before_it_was_told_is_said_to_be(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    JobImage.objects.all().delete()
    workers.send()
    assert "its picture is deleted by now" in talk.text


def test_who_blocks_the_bot_in_the_middle_of_an_edit_is_left_alone(
    edited: Order, talk: Talk, workers: Workers
) -> None:
    talk.telegram.act("delete_message", user_id=talk.user_id, message_id=edited.message_id)
    talk.telegram.act("block", user_id=talk.user_id)
    workers.send()
    assert Delivery.objects.get().status == DeliveryStatus.FAILED
    edited.chat.refresh_from_db()
    assert edited.chat.gone_at is not None


def every_code() -> list[str]:
    """Return every code that a job can end with."""
    found, waiting = ["internal_error"], [errors.ComfyError]
    while waiting:
        error = waiting.pop()
        found.append(error.code)
        waiting += error.__subclasses__()
    return sorted(set(found))


@pytest.mark.parametrize("code", every_code())
def test_every_end_of_a_job_has_words_of_its_own(code: str) -> None:
    for language in ("ru", "en"):
        texts = Texts(language)
        assert reasons.of_code(texts, code) != reasons.of_code(texts, "unheard-of")


def test_a_code_without_words_is_told_in_general_ones() -> None:
    assert reasons.of_code(Texts("en"), "unheard-of") == "Something went wrong. Please try again."
