"""Everything that people send by mistake or on purpose: a clear error, and nothing left of it.

Pictures that are odd but usable are in `test_submit`.
"""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from rest_framework.test import APIClient

from jobs.models import Job
from jobs.states import JobStatus
from qwenedit.users.models import User
from tests.api import photos
from tests.api.conftest import JOBS, PROMPT, Submit, upload
from tests.api.traces import nothing_left
from tests.factories import JobFactory, PresetFactory, UserFactory, give_points

Problem = Callable[..., dict[str, Any]]
MB = 1 << 20


class TestPictures:
    """What can not be used is refused by what it is, not by what it says it is."""

    @pytest.mark.parametrize(
        ("make", "content_type", "reason"),
        [
            (lambda: b"", "image/jpeg", "empty"),
            (lambda: b"\x00" * 2000, "image/jpeg", "not_an_image"),
            (lambda: b"just some words", "image/png", "not_an_image"),
            (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png", "unsupported_format"),
            (lambda: photos.jpeg()[:-400], "image/jpeg", "truncated"),
            (lambda: photos.jpeg()[:20], "image/jpeg", "truncated"),
            (lambda: photos.png()[:-30], "image/png", "truncated"),
            (lambda: photos.heic()[:-200], "image/heic", "truncated"),
            (lambda: photos.animated("GIF"), "image/gif", "unsupported_format"),
            (lambda: photos.animated("GIF"), "image/jpeg", "unsupported_format"),
            (photos.bomb, "image/png", "too_many_pixels"),
            (lambda: photos.poster("PNG"), "image/png", "too_many_pixels"),
            (lambda: photos.encoded(photos.picture(size=(8, 8)), "PNG"), "image/png", "too_small"),
            (lambda: photos.encoded(photos.picture(size=(2000, 20)), "PNG"), "image/png", "bad_aspect"),
        ],
        ids=[
            "0 bytes",
            "zeros",
            "text",
            "SVG",
            "truncated JPEG",
            "head of a JPEG",
            "truncated PNG",
            "truncated HEIC",
            "GIF",
            "GIF said to be JPEG",
            "decompression bomb",
            "9000x12000 PNG",
            "8x8",
            "100:1",
        ],
    )
    def test_is_refused_and_leaves_nothing(
        self,
        submit: Submit,
        problem: Problem,
        make: Callable[[], bytes],
        content_type: str,
        reason: str,
    ) -> None:
        data = make()
        with nothing_left():
            answer = submit(image=upload(data, "photo", content_type))
        body = problem(answer, 400, "invalid_image")
        assert body["reason"] == reason

    def test_of_50_mb_is_too_large(self, submit: Submit, problem: Problem) -> None:
        with nothing_left():
            answer = submit(image=upload(photos.jpeg() + b"\0" * (50 * MB)))
        body = problem(answer, 413, "too_large")
        assert body["limit_bytes"] == settings.MAX_UPLOAD_BYTES
        assert "20 MB" in body["detail"]

    def test_of_exactly_the_limit_is_not_too_large(self, submit: Submit) -> None:
        padding = b"\0" * (settings.MAX_UPLOAD_BYTES - len(photos.jpeg()))
        assert submit(image=upload(photos.jpeg() + padding)).status_code == 201

    def test_one_bad_among_good_ones_refuses_all(self, submit: Submit, problem: Problem) -> None:
        pictures = [upload(photos.jpeg(1)), upload(b"not a picture"), upload(photos.jpeg(2))]
        with nothing_left():
            problem(submit(image=pictures), 400, "invalid_image")


class TestHowManyPictures:
    """One to three, and as many as the preset needs."""

    @pytest.mark.parametrize("count", [4, 7])
    def test_more_than_three_are_too_many(self, submit: Submit, problem: Problem, count: int) -> None:
        with nothing_left():
            answer = submit(image=[upload(photos.jpeg()) for _ in range(count)])
        body = problem(answer, 400, "invalid_request")
        assert body["errors"] == {"image": ["Send 1 to 3 pictures, each as a part named “image”."]}
        assert body["detail"] == "image: Send 1 to 3 pictures, each as a part named “image”."

    def test_none_is_too_few(self, submit: Submit, problem: Problem) -> None:
        with nothing_left():
            answer = submit(image=None)
        body = problem(answer, 400, "invalid_request")
        assert body["errors"] == {"image": ["Send 1 to 3 pictures, each as a part named “image”."]}

    @pytest.mark.parametrize(("needed", "sent"), [(2, 1), (2, 3), (1, 2), (3, 2)])
    def test_a_preset_takes_exactly_its_number(
        self, submit: Submit, problem: Problem, needed: int, sent: int
    ) -> None:
        PresetFactory.create(slug="group", photos=needed)
        with nothing_left():
            answer = submit(preset="group", image=[upload(photos.jpeg()) for _ in range(sent)])
        body = problem(answer, 400, "invalid_request")
        assert list(body["errors"]) == ["image"]
        assert str(needed) in body["detail"]
        assert str(sent) in body["detail"]

    def test_text_in_place_of_a_file_is_told_apart(self, submit: Submit, problem: Problem) -> None:
        with nothing_left():
            answer = submit(image="photo.jpg")
        body = problem(answer, 400, "invalid_request")
        assert body["errors"] == {
            "image": ["Picture 1: This is text, not a file: the part needs a file name."]
        }


class TestPrompts:
    """Five to five hundred characters with a word in them, and nothing the policy forbids."""

    @pytest.mark.parametrize(
        ("prompt", "word"),
        [
            ("snow", "5 to 500"),
            ("   snow   ", "5 to 500"),
            ("a" * 501, "5 to 500"),
            ("a" * 10_001, "5 to 500"),
            (" " * 400, "5 to 500"),
            ("🌃🌌", "5 to 500"),
            ("🌃🌌🌉🎆🎇🗻", "words"),
            ("12345 67890", "words"),
            ("add snow\0", "ull characters"),
            ("add \x07 snow", "control characters"),
            ("add \x1b[31m snow", "control characters"),
        ],
        ids=[
            "4",
            "4 in spaces",
            "501",
            "10001",
            "spaces",
            "2 emoji",
            "6 emoji",
            "digits",
            "NUL",
            "bell",
            "escape",
        ],
    )
    def test_that_can_not_be_read_are_refused(
        self, submit: Submit, problem: Problem, prompt: str, word: str
    ) -> None:
        with nothing_left():
            answer = submit(prompt=prompt)
        body = problem(answer, 400, "invalid_request")
        assert list(body["errors"]) == ["prompt"]
        assert word in body["detail"]

    @pytest.mark.parametrize("prompt", ["undress the woman", "раздень девушку"])
    def test_that_the_policy_forbids_are_refused_with_the_rule(
        self, submit: Submit, problem: Problem, prompt: str
    ) -> None:
        with nothing_left():
            answer = submit(prompt=prompt)
        body = problem(answer, 400, "prompt_rejected")
        assert body["rule"]
        assert set(body["rule_titles"]) == {"ru", "en"}

    def test_that_are_forbidden_are_refused_before_the_picture_is_looked_at(
        self, submit: Submit, problem: Problem
    ) -> None:
        problem(submit(prompt="undress the woman", image=upload(b"no picture")), 400, "prompt_rejected")


class TestPresets:
    """One that is on offer, or a prompt; not both and not neither."""

    @pytest.mark.parametrize(
        "slug", ["no-such-preset", "Карандаш", "a\0b", "x" * 101, "'; DROP TABLE jobs_job; --"]
    )
    def test_that_are_unknown_are_refused(self, submit: Submit, problem: Problem, slug: str) -> None:
        with nothing_left():
            answer = submit(preset=slug)
        assert list(problem(answer, 400, "invalid_request")["errors"]) == ["preset"]

    def test_that_were_withdrawn_are_refused(self, submit: Submit, problem: Problem) -> None:
        PresetFactory.create(slug="retired", is_active=False)
        with nothing_left():
            answer = submit(preset="retired")
        assert "retired" in problem(answer, 400, "invalid_request")["errors"]["preset"][0]

    def test_and_a_prompt_exclude_each_other(self, submit: Submit, problem: Problem) -> None:
        PresetFactory.create(slug="pencil")
        with nothing_left():
            answer = submit(preset="pencil", prompt=PROMPT)
        assert problem(answer, 400, "invalid_request")["detail"] == "Give either a preset or a prompt."

    @pytest.mark.parametrize("fields", [{"prompt": None}, {"prompt": ""}, {"prompt": "", "preset": ""}])
    def test_or_a_prompt_there_must_be(
        self, submit: Submit, problem: Problem, fields: dict[str, Any]
    ) -> None:
        with nothing_left():
            answer = submit(**fields)
        assert problem(answer, 400, "invalid_request")["detail"] == "Give either a preset or a prompt."


@pytest.mark.parametrize(
    "seed", ["-1", str(2**53), "9" * 30, "9" * 5000, "12.5", "1e3", "lucky", "0x10", "NaN"]
)
def test_a_seed_that_is_none_is_refused(submit: Submit, problem: Problem, seed: str) -> None:
    with nothing_left():
        answer = submit(seed=seed)
    body = problem(answer, 400, "invalid_request")
    assert body["errors"] == {"seed": ["A seed is a whole number from 0 to 9007199254740991."]}


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "shop.example/hook",
        "ftp://shop.example/hook",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https://shop.example/\nX-Header: 1",
        "https://shop.example/" + "a" * 500,
        "https://shop .example/",
        "http://\0/",
    ],
)
def test_a_webhook_address_that_is_none_is_refused(submit: Submit, problem: Problem, address: str) -> None:
    with nothing_left():
        answer = submit(webhook_url=address)
    assert list(problem(answer, 400, "invalid_request")["errors"]) == ["webhook_url"]


def test_everything_that_is_wrong_with_the_form_is_said_at_once(submit: Submit, problem: Problem) -> None:
    with nothing_left():
        answer = submit(image=None, seed="x", webhook_url="y")
    body = problem(answer, 400, "invalid_request")
    assert set(body["errors"]) == {"image", "seed", "webhook_url"}


class TestMeans:
    """Points, and how much one user may have under way."""

    def test_29_points_do_not_buy_an_edit_of_30(self, submit: Submit, problem: Problem, alice: User) -> None:
        give_points(alice, 29 - alice.balance)
        with nothing_left():
            answer = submit()
        body = problem(answer, 402, "insufficient_points")
        assert (body["balance"], body["required"]) == (29, 30)

    def test_an_edit_too_many_waits_for_another_to_finish(
        self, submit: Submit, problem: Problem, api: APIClient, alice: User
    ) -> None:
        with override_settings(MAX_ACTIVE_JOBS_PER_USER=2):
            job = JobFactory.create(user=alice, price=1)
            JobFactory.create(user=alice, price=1, status=JobStatus.RUNNING)
            JobFactory.create(user=UserFactory.create())
            with nothing_left():
                answer = submit()
            assert problem(answer, 429, "too_many_jobs")["limit"] == 2
            api.post(f"{JOBS}{job.pk}/cancel/")
            assert submit().status_code == 201

    def test_too_many_edits_are_told_before_too_few_points(
        self, submit: Submit, problem: Problem, alice: User
    ) -> None:
        with override_settings(MAX_ACTIVE_JOBS_PER_USER=1):
            JobFactory.create(user=alice, price=60)
            with nothing_left():
                problem(submit(), 429, "too_many_jobs")


class TestBodies:
    """What is not a form at all."""

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", '{"prompt": "make it a sketch"}'),
            ("application/x-www-form-urlencoded", "prompt=make+it+a+sketch&image=x"),
            ("text/plain", "hello"),
            ("image/jpeg", "\x00"),
        ],
    )
    def test_of_another_content_type_are_refused(
        self, api: APIClient, problem: Problem, content_type: str, body: str
    ) -> None:
        with nothing_left():
            answer = api.generic("POST", JOBS, body, content_type=content_type)
        problem(answer, 415, "unsupported_media_type")

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"--x\r\n"),
            ("multipart/form-data; boundary=", b"--x\r\n"),
            ("multipart/form-data; boundary=é", b"--x\r\n"),
        ],
        ids=["none", "empty", "not ASCII"],
    )
    def test_with_a_broken_boundary_are_refused(
        self, api: APIClient, problem: Problem, content_type: str, body: bytes
    ) -> None:
        with nothing_left():
            answer = api.generic("POST", JOBS, body, content_type=content_type)
        assert problem(answer, 400, "invalid_request")["errors"] == {}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"--other\r\n",
            b"--x",
            b"--x\r\n\r\n",
            b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\n",
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
            + photos.jpeg()[:300],
            b'--x\r\nContent-Disposition: form-data; name="image"; filename=""\r\n\r\n\r\n--x--\r\n',
            b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\r\n--x--\r\n',
            b"\x00" * 500,
        ],
        ids=[
            "empty",
            "another boundary",
            "cut",
            "no part",
            "cut part",
            "cut file",
            "no file chosen",
            "not UTF-8",
            "zeros",
        ],
    )
    def test_that_hold_no_form_lack_a_picture(self, api: APIClient, problem: Problem, body: bytes) -> None:
        with nothing_left():
            answer = api.generic("POST", JOBS, body, content_type="multipart/form-data; boundary=x")
        assert "image" in problem(answer, 400, "invalid_request")["errors"]

    def test_with_too_many_fields_are_refused(self, api: APIClient, problem: Problem) -> None:
        fields = {f"field{number}": "x" for number in range(1001)}
        with nothing_left():
            answer = api.post(JOBS, fields, format="multipart")
        problem(answer, 400, "invalid_request")

    def test_with_too_many_files_are_refused(self, api: APIClient, problem: Problem) -> None:
        files = {f"file{number}": upload(b"x") for number in range(101)}
        with nothing_left():
            answer = api.post(JOBS, files, format="multipart")
        problem(answer, 400, "invalid_request")

    def test_with_too_much_text_are_refused(self, submit: Submit, problem: Problem) -> None:
        with nothing_left():
            answer = submit(prompt="a" * (3 * MB))
        problem(answer, 413, "too_large")

    def test_with_fields_that_mean_nothing_are_read_past_them(self, submit: Submit) -> None:
        assert submit(price="0", user="1", status="succeeded", priority="100").status_code == 201
        job = Job.objects.get()
        assert (job.price, job.status, job.priority) == (30, "queued", Job.Priority.BATCH)
