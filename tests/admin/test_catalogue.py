"""The catalogue in the admin: what staff change is theirs, until they restore it."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from jobs.catalogue import read_catalogue
from jobs.catalogue_sync import sync_catalogue
from jobs.models import Category, Job, Preset
from tests.factories import CategoryFactory, PresetFactory

LIST = "admin:jobs_preset_changelist"


@pytest.fixture
def van_gogh(db: None) -> Preset:
    """A preset of the shipped catalogue, as its file has it."""
    sync_catalogue(read_catalogue())
    return Preset.objects.get(slug="van-gogh")


def form_of(preset: Preset) -> dict[str, Any]:
    """Return what a browser would send if the preset were saved as it is."""
    names = ("slug", "title_ru", "title_en", "icon", "prompt", "photos", "sort_order")
    return {name: getattr(preset, name) for name in names} | {
        "category": preset.category_id,
        "price": preset.price or "",
        "is_active": "on",
    }


def save(client: Client, preset: Preset, **fields: Any) -> Any:
    return client.post(reverse("admin:jobs_preset_change", args=[preset.pk]), form_of(preset) | fields)


def test_what_staff_change_survives_the_next_load(boss: Client, van_gogh: Preset) -> None:
    assert save(boss, van_gogh, price=45).status_code == 302

    sync_catalogue(read_catalogue())

    van_gogh.refresh_from_db()
    assert (van_gogh.price, van_gogh.is_customised) == (45, True)


def test_saving_without_a_change_leaves_a_preset_to_its_file(boss: Client, van_gogh: Preset) -> None:
    assert save(boss, van_gogh).status_code == 302

    van_gogh.refresh_from_db()
    assert not van_gogh.is_customised


def test_the_switch_in_the_list_takes_a_preset_off_offer(boss: Client, db: None) -> None:
    off, other = PresetFactory.create(), PresetFactory.create()
    data = {
        "form-TOTAL_FORMS": 2,
        "form-INITIAL_FORMS": 2,
        "form-0-id": off.pk,
        "form-1-id": other.pk,
        "form-1-is_active": "on",
        "_save": "Save",
    }

    assert boss.post(reverse(LIST), data).status_code == 302

    off.refresh_from_db()
    other.refresh_from_db()
    assert (off.is_active, off.is_customised) == (False, True)
    assert (other.is_active, other.is_customised) == (True, False)


def test_a_preset_is_restored_from_the_catalogue(boss: Client, van_gogh: Preset) -> None:
    prompt = van_gogh.prompt
    save(boss, van_gogh, price=45, prompt="Something else, quite different from before.")
    own = PresetFactory.create(is_customised=True)

    boss.post(reverse(LIST), {"action": "restore", "_selected_action": [van_gogh.pk, own.pk]})

    van_gogh.refresh_from_db()
    own.refresh_from_db()
    assert (van_gogh.prompt, van_gogh.price, van_gogh.is_customised) == (prompt, None, False)
    assert (own.is_active, own.is_customised) == (True, True)


def test_a_category_is_restored_from_the_catalogue(boss: Client, van_gogh: Preset) -> None:
    shelf = van_gogh.category
    Category.objects.filter(pk=shelf.pk).update(title_en="Mine", is_customised=True)

    boss.post(
        reverse("admin:jobs_category_changelist"), {"action": "restore", "_selected_action": [shelf.pk]}
    )

    title = shelf.title_en
    shelf.refresh_from_db()
    assert (shelf.title_en, shelf.is_customised) == (title, False)


def test_a_preset_of_the_catalogue_is_not_deleted_one_of_the_staff_is(boss: Client, van_gogh: Preset) -> None:
    own = PresetFactory.create(is_customised=True)
    answers = [
        boss.post(reverse("admin:jobs_preset_delete", args=[preset.pk]), {"post": "yes"})
        for preset in (van_gogh, own)
    ]

    assert [answer.status_code for answer in answers] == [403, 302]
    assert Preset.objects.filter(pk=van_gogh.pk).exists()
    assert not Preset.objects.filter(pk=own.pk).exists()


def test_a_category_can_not_stand_inside_itself(boss: Client) -> None:
    outer = CategoryFactory.create()
    inner = CategoryFactory.create(parent=outer)
    data = {"slug": outer.slug, "title_ru": "а", "title_en": "a", "sort_order": 0}

    for parent in (outer, inner):
        answer = boss.post(
            reverse("admin:jobs_category_change", args=[outer.pk]), data | {"parent": parent.pk}
        )
        assert "can not stand inside itself" in answer.text
    outer.refresh_from_db()
    assert outer.parent is None


def test_categories_are_offered_by_their_whole_path(boss: Client) -> None:
    outer = CategoryFactory.create(title_en="Women")
    inner = CategoryFactory.create(title_en="Short", parent=outer)
    PresetFactory.create(category=inner)

    assert "Women › Short" in boss.get(reverse("admin:jobs_preset_add")).text
    assert ">Women › Short</td>" in boss.get(reverse(LIST)).text


def test_samples_are_cleaned_shown_replaced_and_cleared(
    boss: Client, sample_photo: bytes, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    preset = PresetFactory.create()
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    file = BytesIO()
    Image.open(BytesIO(sample_photo)).save(file, "PNG", exif=exif)

    def upload() -> Preset:
        upload = SimpleUploadedFile("my photo.png", file.getvalue(), "image/png")
        with django_capture_on_commit_callbacks(execute=True):
            assert save(boss, preset, sample_before=upload).status_code == 302
        return Preset.objects.get(pk=preset.pk)

    first = upload().sample_before
    with first.open() as stored:
        image = Image.open(stored)
        assert (image.format, len(image.getexif())) == ("JPEG", 0)
    full, small = (
        reverse("admin:jobs_preset_sample", args=[preset.pk, "before", size]) for size in ("full", "small")
    )
    assert small in boss.get(reverse(LIST)).text
    assert full in boss.get(reverse("admin:jobs_preset_change", args=[preset.pk])).text
    assert boss.get(full).headers["Content-Type"] == boss.get(small).headers["Content-Type"] == "image/jpeg"
    assert boss.get(reverse("admin:jobs_preset_sample", args=[preset.pk, "after", "full"])).status_code == 404
    assert boss.get(reverse("admin:jobs_preset_sample", args=[preset.pk, "pk", "full"])).status_code == 404

    second = upload().sample_before
    assert second.name != first.name
    assert not default_storage.exists(first.name)

    with django_capture_on_commit_callbacks(execute=True):
        save(boss, preset, **{"sample_before-clear": "on"})
    assert not Preset.objects.get(pk=preset.pk).sample_before
    assert not default_storage.exists(second.name)


def test_a_sample_that_is_no_picture_is_refused(boss: Client) -> None:
    preset = PresetFactory.create()

    answer = save(boss, preset, sample_before=SimpleUploadedFile("a.png", b"no picture", "image/png"))

    assert "sample_before" in answer.context["adminform"].form.errors
    assert not Preset.objects.get(pk=preset.pk).sample_before


def test_samples_are_shown_to_those_who_may_see_presets(
    staff: Callable[..., Client], client: Client, job: Job
) -> None:
    url = reverse("admin:jobs_preset_sample", args=[job.preset_id, "before", "small"])

    assert staff("view_preset").get(url).status_code == 200
    assert staff("view_job").get(url).status_code == 403
    assert client.get(url).status_code == 302


def test_a_broken_catalogue_is_told_and_changes_nothing(
    boss: Client, van_gogh: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(boss, van_gogh, price=45)
    monkeypatch.setattr("jobs.admin.catalogue.read_catalogue", lambda: read_catalogue(tmp_path))

    answer = boss.post(reverse(LIST), {"action": "restore", "_selected_action": [van_gogh.pk]}, follow=True)

    van_gogh.refresh_from_db()
    assert "no YAML files here" in answer.text
    assert (van_gogh.price, van_gogh.is_customised) == (45, True)


def test_the_photos_of_a_preset_are_named_a_line_each(boss: Client, db: None) -> None:
    preset = PresetFactory.create(photos=2)

    refused = save(boss, preset, photo_titles="Человек / The person")
    saved = save(boss, preset, photo_titles="Человек / The person\nПлатье / The dress")

    preset.refresh_from_db()
    assert "Name every photo" in refused.content.decode()
    assert saved.status_code == 302
    assert preset.photo_titles == [
        {"ru": "Человек", "en": "The person"},
        {"ru": "Платье", "en": "The dress"},
    ]
    shown = boss.get(reverse("admin:jobs_preset_change", args=[preset.pk])).content.decode()
    assert "Человек / The person\nПлатье / The dress" in shown


@pytest.mark.parametrize("line", ["Человек", "/ The person", f"{'Я' * 41} / The person"])
def test_a_name_of_a_photo_that_is_not_in_both_languages_is_refused(
    boss: Client, db: None, line: str
) -> None:
    preset = PresetFactory.create()

    assert save(boss, preset, photo_titles=line).status_code == 200
    preset.refresh_from_db()
    assert preset.photo_titles == []
