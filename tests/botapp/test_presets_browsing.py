"""The catalogue in the chat: shelves, pages, and a preset before or after its photos."""

import base64
from typing import Any

import pytest
from django.core.files.base import ContentFile

from botapp.models import Chat, Order
from jobs.catalogue import read_catalogue
from jobs.catalogue_sync import sync_catalogue
from jobs.models import Job, Preset
from tests.botapp.editing import WISH, balance, drawn
from tests.botapp.talking import Talk
from tests.botapp.workers import Workers
from tests.factories import CategoryFactory, PresetFactory
from tests.telegram import Telegram

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def catalogue(db: None) -> None:
    sync_catalogue(read_catalogue())


@pytest.mark.usefixtures("catalogue")
def test_a_preset_is_found_first_and_edits_the_photo_that_follows(
    talk: Talk, photo: str, workers: Workers, node: Any
) -> None:
    talk.do("message", text="/presets")
    shelves = talk.labels
    for label in ("🎨 Art styles", "🖼️ Painters", "🌻 Van Gogh"):
        talk.tap(label)
    asked = talk.text
    talk.do("photo", data=photo)
    confirmed = talk.text
    talk.tap("✅ Edit")
    workers.finish()

    assert shelves == [
        "🎨 Art styles",
        "🧝 New look",
        "👕 Fitting room",
        "✨ Edit photo",
        "✍️ Own prompt",
        "☰ Menu",
    ]
    assert asked == "🌻 Van Gogh\n\nNow send the photo."
    assert confirmed == "🌻 Van Gogh\n\nPrice: 30 points. You have 60 points, 30 will be left."
    assert talk.last["caption"].startswith("🌻 Van Gogh")
    assert Job.objects.get().preset == Preset.objects.get(slug="van-gogh")


@pytest.mark.usefixtures("catalogue")
def test_a_photo_is_sent_first_and_a_preset_chosen_for_it(talk: Talk, photo: str) -> None:
    talk.do("photo", data=photo)
    talk.tap("✨ Edit photo")
    shelf = talk.text
    talk.do("tap", wait=False, label="Restore an old")

    assert "The photo is here: choose what to do with it." in shelf
    assert "Price: 30 points." in talk.text
    assert talk.labels == ["✅ Edit", "✖ Cancel"]


@pytest.mark.usefixtures("catalogue")
def test_the_fitting_room_asks_for_each_photo_by_name(
    telegram: Telegram, bob_chat: Chat, photo: str, workers: Workers, valkey: Any
) -> None:
    talk = Talk(telegram, bob_chat)
    talk.do("message", text="/presets")
    talk.tap("👕 Примерочная")
    talk.tap("👗 Платье")
    asked = [talk.text]
    talk.do("photo", data=photo, caption="это я")
    asked.append(talk.text)
    talk.do("photo", data=drawn(50, 90))
    talk.tap("✅ Изменить")
    workers.place()

    assert asked == [
        "👗 Платье\n\n⬜ Человек\n⬜ Платье\n\nПришлите фото 1: Человек.",
        "👗 Платье\n\n✅ Человек\n⬜ Платье\n\nПришлите фото 2: Платье.",
    ]
    inputs = Job.objects.get().images.order_by("position")
    assert [image.width for image in inputs] == [512, 50]


@pytest.mark.usefixtures("catalogue")
def test_a_caption_beside_the_photo_of_a_preset_is_no_order_but_may_become_one(
    talk: Talk, photo: str, workers: Workers
) -> None:
    talk.do("message", text="/presets")
    for label in ("🎨 Art styles", "🖼️ Painters", "🌻 Van Gogh"):
        talk.tap(label)
    talk.do("photo", data=photo, caption=WISH)
    assert talk.text.startswith("🌻 Van Gogh\n\nPrice: 30 points.")
    assert talk.labels == ["✅ Edit", "✖ Cancel", "✍️ Rather by my caption"]
    assert not Order.objects.exists()

    talk.tap("✍️ Rather by my caption")
    assert talk.text.startswith(f"✍️ {WISH}\n\nPrice: 30 points.")
    talk.tap("✅ Edit")
    assert (Order.objects.get().preset, Order.objects.get().prompt) == (None, WISH)


@pytest.mark.usefixtures("catalogue")
def test_a_caption_is_never_ordered_in_place_of_a_preset_that_left_the_menu(talk: Talk, photo: str) -> None:
    talk.do("message", text="/presets")
    for label in ("🎨 Art styles", "🖼️ Painters", "🌻 Van Gogh"):
        talk.tap(label)
    talk.do("photo", data=photo, caption=WISH)
    Preset.objects.update(is_active=False)
    talk.tap("✅ Edit")
    assert not Order.objects.exists()


@pytest.mark.usefixtures("catalogue")
def test_the_photo_that_is_there_is_the_first_of_the_fitting(talk: Talk, photo: str) -> None:
    talk.do("photo", data=photo)
    talk.tap("👕 Fitting room")
    talk.tap("👗 Dress")
    assert "✅ The person\n⬜ The dress" in talk.text


@pytest.mark.usefixtures("catalogue")
def test_pages_turn_and_the_way_back_leads_up(talk: Talk) -> None:
    talk.do("message", text="/presets")
    talk.tap("🧝 New look")
    talk.tap("Women")
    talk.tap("Hair")
    talk.tap("Styling")
    first = talk.labels
    talk.tap("›")
    second = talk.labels
    talk.tap("›")
    again = talk.labels
    path = talk.text.splitlines()[0]
    for _ in range(4):
        talk.tap("‹ Back")

    assert len(first) == 8 + 3 + 2
    assert first[8:] == ["‹", "1/2", "›", "‹ Back", "☰ Menu"]
    assert len(second) == 1 + 3 + 2
    assert again == first
    assert path.count(" › ") == 3
    assert talk.text.startswith("Ready-made styles and edits")
    assert len(talk.telegram.said(talk.user_id)) == 1  # one message all the way


def test_shelves_without_a_preset_on_offer_are_not_shown(talk: Talk) -> None:
    outer = CategoryFactory.create(title_en="Styles")
    CategoryFactory.create(title_en="Nothing", parent=outer)
    inner = CategoryFactory.create(title_en="Comics", parent=outer)
    PresetFactory.create(category=inner, title_en="Noir")
    PresetFactory.create(category=inner, title_en="Old", is_active=False)
    PresetFactory.create(category=CategoryFactory.create(title_en="Gone"), is_active=False)

    talk.do("message", text="/presets")
    outermost = talk.labels
    talk.tap("Styles")
    inside = talk.labels
    talk.tap("Comics")

    assert outermost == ["Styles", "✍️ Own prompt", "☰ Menu"]
    assert inside == ["Comics", "‹ Back", "☰ Menu"]
    assert talk.labels == ["Noir", "‹ Back", "☰ Menu"]


def test_a_preset_with_a_price_of_its_own_shows_it(talk: Talk, photo: str, workers: Workers) -> None:
    shelf = CategoryFactory.create(title_en="Styles")
    PresetFactory.create(category=shelf, title_en="Plain")
    PresetFactory.create(category=shelf, title_en="Rich", price=50)

    talk.do("photo", data=photo)
    talk.tap("Styles")
    buttons = talk.labels
    talk.tap("Rich")
    asked = talk.text
    talk.tap("✅ Edit")
    workers.place()

    assert buttons[:2] == ["Plain", "Rich · 50"]
    assert "Price: 50 points. You have 60 points, 10 will be left." in asked
    assert balance(talk) == 10


def test_a_preset_that_left_the_menu_is_not_ordered(talk: Talk, photo: str) -> None:
    preset = PresetFactory.create(category=CategoryFactory.create(title_en="Styles"), title_en="Noir")
    talk.do("photo", data=photo)
    talk.tap("Styles")
    Preset.objects.update(is_active=False)
    talk.tap("Noir")
    told = talk.toasts[-1]
    Preset.objects.update(is_active=True)
    talk.tap("Noir")
    Preset.objects.update(is_active=False)
    talk.tap("✅ Edit")

    assert told == "This style is no longer on the menu. Please choose another."
    assert not Order.objects.filter(preset=preset).exists()
    assert len(talk.toasts) == 2


def test_the_shelf_of_own_words_asks_for_them(talk: Talk) -> None:
    shelf = CategoryFactory.create(slug="own-prompt", title_en="Own prompt")
    PresetFactory.create(category=CategoryFactory.create(title_en="Styles"))
    talk.do("message", text="/presets")
    press(talk, f"cat:{shelf.pk}", talk.last["message_id"])
    assert talk.text.startswith("Own prompt")


def test_a_press_below_somebody_elses_message_changes_nothing(
    talk: Talk, bob_chat: Chat, telegram: Telegram
) -> None:
    bob = Talk(telegram, bob_chat)
    bob.do("message", text="/menu")
    talk.do("message", text="/presets")
    before = [telegram.words(bob.user_id), telegram.words(talk.user_id)]
    talk.tap("Own prompt", as_user=bob.user_id)

    assert [telegram.words(bob.user_id), telegram.words(talk.user_id)] == before
    assert len(telegram.calls("answerCallbackQuery")) == 1


@pytest.mark.parametrize("data", ["cat:999", "cat:nonsense", "cat:1:x", "cat:999999999999999999999999"])
def test_a_shelf_that_is_not_there_leads_to_the_outermost(talk: Talk, data: str) -> None:
    talk.do("message", text="/presets")
    press(talk, data, talk.last["message_id"])
    assert talk.text.startswith("Ready-made styles and edits")


@pytest.mark.parametrize("data", ["preset:999", "preset:", "preset:x", "preset:99999999999999999999999"])
def test_a_preset_that_is_not_there_is_told(talk: Talk, data: str) -> None:
    talk.do("message", text="/presets")
    press(talk, data, talk.last["message_id"])
    assert talk.toasts == ["This style is no longer on the menu. Please choose another."]


def test_a_sample_is_shown_with_the_preset_and_uploaded_once(talk: Talk, photo: str) -> None:
    preset = PresetFactory.create(category=CategoryFactory.create(title_en="Styles"), title_en="Noir")
    preset.sample_after.save("after.jpg", ContentFile(base64.b64decode(drawn(300, 200, "JPEG"))))

    talk.do("photo", data=photo)
    talk.tap("Styles")
    talk.tap("Noir")
    talk.tap("Noir")
    samples = [message for message in talk.telegram.said(talk.user_id) if "photo" in message]
    talk.tap("✅ Edit")

    assert [sample["caption"] for sample in samples] == ["Noir: a sample"] * 2
    assert samples[0]["photo"]["file_id"] == samples[1]["photo"]["file_id"]
    assert Order.objects.get().preset == preset
    preset.sample_after.delete()


def test_a_sample_whose_file_is_gone_hinders_nobody(talk: Talk, photo: str) -> None:
    preset = PresetFactory.create(category=CategoryFactory.create(title_en="Styles"), title_en="Noir")
    Preset.objects.filter(pk=preset.pk).update(sample_after="samples/gone.jpg")
    talk.do("photo", data=photo)
    talk.tap("Styles")
    talk.tap("Noir")
    assert "Price: 30 points" in talk.text


def test_words_take_the_place_of_a_preset_and_a_preset_that_of_words(talk: Talk, photo: str) -> None:
    PresetFactory.create(category=CategoryFactory.create(title_en="Styles"), title_en="Noir")
    talk.do("photo", data=photo)
    talk.tap("Styles")
    menu = talk.last["message_id"]
    talk.do("message", text=WISH)
    words = talk.last
    press(talk, f"preset:{Preset.objects.get().pk}", menu)
    talk.tap("✅ Edit", message_id=words["message_id"])
    told, ordered = talk.toasts[-1], Order.objects.exists()
    talk.tap("✅ Edit", message_id=menu)

    assert WISH in words["text"]
    assert (told, ordered) == ("This screen is out of date. Please send the photo again.", False)
    assert Order.objects.get().preset is not None
    assert Order.objects.get().prompt == ""


def press(talk: Talk, data: str, message_id: int) -> None:
    """Press a button that the message does not have any more, or never had."""
    person = {"id": talk.user_id, "is_bot": False, "first_name": "Alice"}
    chat = {"id": talk.user_id, "type": "private"}
    message = {"message_id": message_id, "date": 1_780_000_000, "chat": chat, "text": "menu"}
    query = {"id": "77", "from": person, "chat_instance": "1", "message": message, "data": data}
    talk.telegram.act("send_update", update={"callback_query": query})
    talk.answer()
