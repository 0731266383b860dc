"""What can be done with a finished picture, by its owner, for as long as it is kept."""

from typing import Any

import pytest
import requests

from botapp.models import Chat, JobMark, Order, OrderStatus
from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.models import LedgerEntry
from tests.botapp.editing import WISH, balance
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.factories import CategoryFactory, PresetFactory, give_points
from tests.telegram import Telegram

pytestmark = pytest.mark.django_db(transaction=True)


def downloaded(talk: Talk, message: dict[str, Any]) -> bytes:
    """Return the bytes of a message's file, as its reader's app gets them."""
    file = message.get("document") or message["photo"]
    answer = requests.get(f"{talk.telegram.url}{file['url']}", timeout=10)
    answer.raise_for_status()
    return answer.content


def stored(job: Job | None) -> bytes:
    """Return the result of a job as it is stored here."""
    assert job is not None
    with job.images.get(role="result").file.open("rb") as file:
        return bytes(file.read())


def purge() -> None:
    """Let the time of every stored picture come."""
    for image in JobImage.objects.all():
        image.file.delete(save=False)
        image.delete()


def test_again_makes_the_same_with_a_new_seed_for_its_price(
    talk: Talk, done: Order, workers: Workers
) -> None:
    talk.tap("🔁 Again")
    workers.finish()

    first, second = Job.objects.order_by("pk")
    assert second.prompt == first.prompt == WISH
    assert second.seed != first.seed
    assert talk.toasts == ["Making another one. Price: 30 points."]
    assert balance(talk) == 0
    assert ["photo" in said for said in talk.telegram.said(talk.user_id)] == [True, True]


def test_two_quick_presses_of_again_make_one_order(talk: Talk, done: Order, workers: Workers) -> None:
    talk.tap("🔁 Again", times=2)
    workers.place()

    assert Order.objects.count() == 2
    assert talk.toasts[-1] == "Another one is already on its way."
    assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.EDIT).count() == 2


def test_again_without_the_points_for_it_offers_a_top_up(talk: Talk, done: Order, alice_chat: Chat) -> None:
    give_points(alice_chat.user, -20)
    talk.tap("🔁 Again")
    assert talk.text == "You are short by 20 points."
    assert talk.labels == ["💰 Top up"]
    assert Order.objects.count() == 1


def test_a_result_is_edited_further(talk: Talk, done: Order, workers: Workers) -> None:
    talk.tap("✨ Edit further")
    asked = talk.text
    talk.do("message", text="now make it blue")
    talk.tap("✅ Edit")
    workers.finish()

    assert asked.startswith("What next?")
    job = Job.objects.latest("pk")
    assert (job.prompt, job.status) == ("now make it blue", JobStatus.SUCCEEDED)
    [image] = job.images.filter(role="input")
    assert image.width == 1024  # the result, not the portrait


def test_words_that_reply_to_a_result_edit_it_further(talk: Talk, done: Order) -> None:
    talk.do("message", text="now make it blue", reply_to=done.message_id)
    talk.tap("✅ Edit")
    assert done.job is not None
    assert Order.objects.latest("pk").photos == [{"image": done.job.images.get(role="result").pk}]


def test_another_style_begins_with_the_first_photo(talk: Talk, done: Order, workers: Workers) -> None:
    PresetFactory.create(category=CategoryFactory.create(title_en="Styles"), title_en="Noir")
    talk.tap("🎨 Another style")
    talk.tap("Styles")
    talk.tap("Noir")
    talk.tap("✅ Edit")

    order = Order.objects.latest("pk")
    assert order.photos == done.photos
    assert order.preset is not None
    assert "photo" in talk.telegram.said(talk.user_id)[0]  # the first result stays


def test_the_original_file_is_what_the_model_made_and_is_uploaded_once(talk: Talk, done: Order) -> None:
    talk.tap("📄 Original file")
    first = talk.last
    talk.tap("📄 Original file")
    second = talk.last

    assert first["document"]["file_name"] == f"qwenedit-{done.job_id}.png"
    assert downloaded(talk, first) == stored(done.job)
    assert first["message_id"] != second["message_id"]
    assert first["document"]["file_id"] == second["document"]["file_id"]


def test_a_file_whose_name_telegram_forgot_is_uploaded_again(talk: Talk, done: Order) -> None:
    Order.objects.update(document_file_id="BQforgotten", photo_file_id="AgForgotten")
    talk.tap("📄 Original file")
    assert downloaded(talk, talk.last) == stored(done.job)


def test_marks_are_kept_and_shown_on_the_buttons(talk: Talk, done: Order) -> None:
    talk.tap("⭐")
    talk.tap("👍")
    marked = talk.labels[-3:]
    mark = JobMark.objects.get(job=done.job)
    kept = (mark.is_favourite, mark.rating)
    talk.tap("👎")
    talk.tap("⭐ ✓")
    talk.tap("👎 ✓")

    assert marked == ["⭐ ✓", "👍 ✓", "👎"]
    assert kept == (True, JobMark.Rating.GOOD)
    assert talk.labels[-3:] == ["⭐", "👍", "👎"]
    mark.refresh_from_db()
    assert (mark.is_favourite, mark.rating) == (False, None)
    assert talk.toasts[0] == "Added to your favourites."


def test_a_mark_that_is_pressed_twice_at_once_stays(talk: Talk, done: Order) -> None:
    talk.tap("⭐", times=2)
    assert JobMark.objects.get().is_favourite
    assert talk.labels[-3] == "⭐ ✓"


def test_a_result_is_shown_once_more_without_an_edit(talk: Talk, done: Order) -> None:
    talk.telegram.act("delete_message", user_id=talk.user_id, message_id=done.message_id)
    press(talk, f"show:{done.pk}")

    [said] = talk.telegram.said(talk.user_id)
    assert said["photo"]["file_id"] == done.photo_file_id
    assert Job.objects.count() == 1


def test_a_result_that_only_telegram_still_has_is_shown_as_it_has_it(talk: Talk, done: Order) -> None:
    talk.tap("📄 Original file")
    purge()
    press(talk, f"show:{done.pk}")
    photo = talk.last
    Order.objects.update(photo_file_id="")
    press(talk, f"show:{done.pk}")
    document = talk.last
    Order.objects.update(document_file_id="")
    press(talk, f"show:{done.pk}")

    assert "photo" in photo
    assert "document" in document
    assert "this one is deleted by now" in talk.text


@pytest.mark.parametrize("name", ["again", "further", "style", "file", "fav", "up", "down", "show", "stop"])
def test_a_result_is_its_owners_alone(
    talk: Talk, done: Order, bob_chat: Chat, telegram: Telegram, name: str
) -> None:
    bob = Talk(telegram, bob_chat)
    press(bob, f"{name}:{done.pk}:1")

    [answer] = telegram.calls("answerCallbackQuery")
    assert answer["parameters"]["text"] == "Эта правка не ваша."
    assert telegram.said(bob.user_id) == []
    assert Order.objects.count() == 1
    assert not JobMark.objects.exists()


@pytest.mark.parametrize("argument", ["", "x", "0", "99999999999999999999999", "-1"])
def test_a_button_that_names_no_order_does_nothing(talk: Talk, argument: str) -> None:
    for name in ("again", "file", "stop", "fav"):
        press(talk, f"{name}:{argument}")
    assert talk.telegram.said(talk.user_id) == []


def test_what_needs_a_picture_that_is_no_longer_kept_says_so(talk: Talk, done: Order) -> None:
    purge()
    talk.tap("✨ Edit further")
    talk.tap("📄 Original file")
    words = talk.telegram.words(talk.user_id)[1:]
    assert len(words) == 2
    assert all("Pictures are kept for 30 days; this one is deleted by now." in text for text in words)

    talk.tap("🔁 Again")  # Telegram still has the photo that was sent
    assert Order.objects.count() == 2


def test_an_edit_of_a_result_that_is_no_longer_kept_is_not_repeated(
    talk: Talk, done: Order, workers: Workers, alice_chat: Chat
) -> None:
    give_points(alice_chat.user, 100)
    talk.tap("✨ Edit further")
    talk.do("message", text="now make it blue")
    talk.tap("✅ Edit")
    workers.finish()
    purge()
    for name in ("🔁 Again", "🎨 Another style"):
        talk.tap(name)
        assert "this one is deleted by now" in talk.text
    assert Order.objects.count() == 2


def test_a_picture_that_is_deleted_before_its_order_is_placed_refuses_it(
    talk: Talk, done: Order, workers: Workers
) -> None:
    talk.tap("✨ Edit further")
    talk.do("message", text="now make it blue")
    talk.tap("✅ Edit")
    purge()
    workers.place()

    assert Order.objects.latest("pk").status == OrderStatus.REFUSED
    assert "This picture is deleted by now." in talk.text
    assert balance(talk) == 30


def test_a_file_that_may_have_arrived_is_not_sent_twice(talk: Talk, done: Order) -> None:
    talk.telegram.fault(method="sendDocument", processed=True, drop=True)
    talk.tap("📄 Original file")

    assert talk.text == "The connection broke. If the picture did not come, press once more."
    assert len(talk.telegram.calls("sendDocument")) == 1


def press(talk: Talk, data: str) -> None:
    """Press a button below a message that Telegram does not show any more."""
    person = {"id": talk.user_id, "is_bot": False, "first_name": "Somebody"}
    message = {"message_id": 999, "date": 0, "chat": {"id": talk.user_id, "type": "private"}}
    query = {"id": "77", "from": person, "chat_instance": "1", "message": message, "data": data}
    talk.telegram.act("send_update", update={"callback_query": query})
    talk.answer()
