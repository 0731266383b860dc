"""`POST /api/v1/jobs/`: a photo and a wish in, a queued and paid edit out."""

import socket
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from typing import Any

import pytest
import requests
from django.conf import settings
from django.core.files.storage import default_storage
from PIL import Image
from rest_framework.test import APIClient

from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.models import LedgerEntry
from qwenedit.users.models import User
from tests.api import photos
from tests.api.conftest import JOBS, PROMPT, Submit, upload
from tests.api.server import WebServer
from tests.api.traces import stored_files
from tests.factories import JobFactory, PresetFactory


def test_a_photo_and_a_prompt_become_a_queued_edit_that_is_paid_for(submit: Submit, alice: User) -> None:
    answer = submit()
    assert answer.status_code == 201
    body = answer.json()
    job = Job.objects.get()
    assert body == {
        "id": job.pk,
        "status": "queued",
        "progress": 0,
        "waiting_for_gpu": False,
        "position": 1,
        "eta_seconds": body["eta_seconds"],
        "price": 30,
        "balance": 30,
        "preset": None,
        "prompt": PROMPT,
        "seed": job.seed,
        "error": None,
        "results": [],
        "created_at": body["created_at"],
        "started_at": None,
        "finished_at": None,
    }
    assert body["eta_seconds"] > 0
    assert job.user == alice
    entry = LedgerEntry.objects.get(key=f"job:{job.pk}:charge")
    assert (entry.amount, entry.balance_after) == (-30, 30)
    alice.refresh_from_db()
    assert alice.balance == 30


def test_the_photo_is_kept_as_one_file_under_a_name_of_our_own(submit: Submit) -> None:
    submit(image=upload(photos.jpeg(), name="../../etc/passwd"))
    image = JobImage.objects.get()
    assert stored_files() == [image.file.name]
    assert "passwd" not in image.file.name
    assert (image.role, image.width, image.height) == (JobImage.Role.INPUT, 96, 64)


def test_a_preset_costs_its_own_price_and_keeps_its_prompt_to_itself(submit: Submit) -> None:
    PresetFactory.create(slug="pencil", title_en="Pencil", price=12, prompt="Redraw it in graphite")
    body = submit(preset="pencil").json()
    assert (body["preset"], body["prompt"], body["price"], body["balance"]) == ("pencil", None, 12, 48)
    assert Job.objects.get().prompt == "Redraw it in graphite"
    assert LedgerEntry.objects.first().description == "Pencil"  # type: ignore[union-attr]


def test_two_photos_for_a_preset_that_needs_two_keep_their_order(submit: Submit) -> None:
    PresetFactory.create(slug="duo", photos=2)
    wide, tall = photos.encoded(photos.picture(size=(80, 40)), "PNG"), photos.jpeg()
    assert submit(preset="duo", image=[upload(wide), upload(tall)]).status_code == 201
    images = JobImage.objects.order_by("position")
    assert [(image.position, image.width) for image in images] == [(1, 80), (2, 96)]


def test_three_photos_go_with_a_prompt(submit: Submit) -> None:
    assert submit(image=[upload(photos.jpeg(shade)) for shade in (1, 2, 3)]).status_code == 201
    assert JobImage.objects.count() == 3


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("night", "night"),
        ("a" * 500, "a" * 500),
        ("   night   ", "night"),
        (" " * 300 + "b" * 500 + "\n", "b" * 500),
        ("ночь в горах", "ночь в горах"),
        ("night 🌃🌌🌉", "night 🌃🌌🌉"),
        ("first line\nsecond line", "first line\nsecond line"),
        ("cafe\u0301 at night", "caf\u00e9 at night"),
    ],
    ids=["5", "500", "5 in spaces", "500 in spaces", "Russian", "emoji", "lines", "composed"],
)
def test_a_prompt_of_5_to_500_characters_is_taken_without_the_space_around_it(
    submit: Submit, prompt: str, read: str
) -> None:
    answer = submit(prompt=prompt)
    assert answer.status_code == 201
    assert answer.json()["prompt"] == Job.objects.get().prompt == read


@pytest.mark.parametrize("seed", [0, 7, 2**53 - 1])
def test_a_seed_is_used_as_given(submit: Submit, seed: int) -> None:
    assert submit(seed=str(seed)).json()["seed"] == Job.objects.get().seed == seed


def test_without_a_seed_every_edit_draws_its_own(submit: Submit) -> None:
    first, second = submit().json()["seed"], submit().json()["seed"]
    assert first != second
    assert 0 <= first < 2**53


def test_empty_fields_are_fields_that_were_not_sent(submit: Submit) -> None:
    assert submit(prompt=PROMPT, preset="", seed="", webhook_url="").status_code == 201


def test_a_webhook_address_is_kept(submit: Submit) -> None:
    assert submit(webhook_url="https://shop.example/hook?a=1").status_code == 201
    assert Job.objects.get().webhook_url == "https://shop.example/hook?a=1"


def test_the_request_id_of_the_answer_follows_the_job(submit: Submit) -> None:
    assert submit().headers["X-Request-ID"] == Job.objects.get().request_id


def test_the_position_counts_who_is_ahead(submit: Submit) -> None:
    JobFactory.create_batch(3)
    JobFactory.create(status=JobStatus.SUCCEEDED)
    assert submit().json()["position"] == 4


def test_exactly_enough_points_are_enough(submit: Submit, alice: User) -> None:
    assert submit().json()["balance"] == 30
    assert submit().json()["balance"] == 0


@pytest.mark.parametrize(
    ("make", "content_type"),
    [
        (photos.jpeg, "image/jpeg"),
        (photos.png, "image/png"),
        (photos.heic, "image/heic"),
        (photos.cmyk, "image/jpeg"),
        (photos.sixteen_bit, "image/png"),
        (photos.transparent, "image/png"),
        (lambda: photos.animated("WEBP"), "image/webp"),
        (lambda: photos.animated("PNG"), "image/png"),
        (photos.png, "text/plain"),
        (photos.png, "application/octet-stream"),
        (photos.jpeg, "image/gif"),
    ],
    ids=[
        "JPEG",
        "PNG",
        "HEIC",
        "CMYK",
        "16 bit",
        "transparent",
        "animated WEBP",
        "animated PNG",
        "PNG said to be text",
        "PNG of no type",
        "JPEG said to be GIF",
    ],
)
def test_pictures_of_every_kind_become_one_plain_jpeg(
    submit: Submit, make: Callable[[], bytes], content_type: str
) -> None:
    assert submit(image=upload(make(), "picture", content_type)).status_code == 201
    with default_storage.open(JobImage.objects.get().file.name) as file, Image.open(file) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (96, 64))
        assert getattr(image, "n_frames", 1) == 1
        assert not image.getexif()


def test_transparency_is_laid_on_white(submit: Submit) -> None:
    clear = photos.encoded(Image.new("RGBA", (96, 64), (0, 0, 0, 0)), "PNG")
    submit(image=upload(clear))
    with default_storage.open(JobImage.objects.get().file.name) as file:
        assert Image.open(BytesIO(file.read())).getpixel((40, 30)) == (255, 255, 255)


def test_a_photo_of_108_megapixels_is_brought_down_to_the_models_size(submit: Submit) -> None:
    assert submit(image=upload(photos.poster("JPEG"))).status_code == 201
    image = JobImage.objects.get()
    assert (image.width, image.height) == (1536, 2048)


def test_a_chosen_price_of_nothing_is_free(submit: Submit, api: APIClient, alice: User) -> None:
    PresetFactory.create(slug="gift", price=0)
    body: dict[str, Any] = submit(preset="gift").json()
    assert (body["price"], body["balance"]) == (0, settings.INITIAL_BALANCE)


@pytest.mark.django_db(transaction=True)
@pytest.mark.processes
def test_an_edit_is_taken_while_the_broker_is_down(alice: User, alice_key: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    with WebServer(REDIS_URL=f"redis://127.0.0.1:{port}") as server:
        answer = requests.post(
            f"{server.url}{JOBS}",
            headers={"Authorization": f"Bearer {alice_key}"},
            files={"image": ("photo.jpg", photos.jpeg(), "image/jpeg")},
            data={"prompt": PROMPT},
            timeout=30,
        )
    assert answer.status_code == 201, answer.text
    assert Job.objects.get().status == JobStatus.QUEUED
