"""Submitting an edit: checked, charged and queued in one transaction, or nothing at all."""

from io import BytesIO

import pytest
from django.conf import settings as django_settings

from jobs.models import Job, JobImage
from jobs.policy import PromptRejected
from jobs.services import Blocked, IdempotencyMismatch, TooManyJobs, submit_job
from jobs.states import JobStatus
from jobs.wishes import InvalidRequest, Wish
from payments import ledger
from payments.ledger import InsufficientPoints
from payments.models import LedgerEntry
from qwenedit.errors import DomainError
from qwenedit.lib.images import ImageTooLarge, InvalidImage
from qwenedit.users.models import User
from tests.factories import PresetFactory
from tests.jobs.conftest import Submit
from tests.threads import at_once, errors

pytestmark = pytest.mark.django_db(transaction=True)


def everything() -> tuple[int, int, int, list[str]]:
    """Return what a submission could leave behind: jobs, pictures, movements of points, files."""
    folder = django_settings.MEDIA_ROOT
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file()) if folder.exists() else []
    return Job.objects.count(), JobImage.objects.count(), LedgerEntry.objects.count(), files


def test_an_edit_is_charged_and_queued(submit: Submit, alice: User) -> None:
    job = submit("make it a pencil sketch")

    alice.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert job.price == django_settings.EDIT_COST
    assert alice.balance == django_settings.INITIAL_BALANCE - job.price
    image = job.images.get()
    assert (image.role, image.width, image.height) == (JobImage.Role.INPUT, 512, 512)
    assert job.receipt == {"balance": alice.balance, "position": 1, "eta_seconds": 20}


def test_a_preset_brings_its_prompt_and_its_price(alice: User, sample_photo: bytes) -> None:
    preset = PresetFactory.create(slug="neon", prompt="Make it neon. Keep the face.", price=7)

    job = submit_job(user=alice, wish=Wish.parse(preset="neon"), images=[sample_photo]).job

    assert (job.preset, job.prompt, job.price) == (preset, "Make it neon. Keep the face.", 7)


def test_a_free_preset_is_charged_nothing_but_has_its_entry(alice: User, sample_photo: bytes) -> None:
    PresetFactory.create(slug="free", price=0)

    job = submit_job(user=alice, wish=Wish.parse(preset="free"), images=[sample_photo]).job

    assert LedgerEntry.objects.get(key=f"job:{job.pk}:charge").amount == 0


def test_every_job_draws_its_own_seed_unless_the_user_chose_one(submit: Submit) -> None:
    assert submit().seed != submit().seed


def test_a_chosen_seed_is_kept(submit: Submit) -> None:
    assert submit(seed=7).seed == 7


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ({}, "either a preset or a prompt"),
        ({"preset": "x", "prompt": "warm light"}, "either a preset or a prompt"),
        ({"prompt": "four"}, "5 to 500"),
        ({"prompt": "x" * 501}, "5 to 500"),
        ({"prompt": "   ab    "}, "5 to 500"),
        ({"prompt": "warm\0light"}, "control characters"),
        ({"prompt": "🎨🎨🎨🎨🎨"}, "in words"),
        ({"prompt": "12345"}, "in words"),
        ({"preset": "no-such-preset"}, "no preset"),
        ({"prompt": "warm light", "seed": -1}, "seed"),
        ({"prompt": "warm light", "seed": 2**53}, "seed"),
    ],
)
def test_a_wish_that_can_not_be_is_refused_in_words(wish: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        Wish.parse(**wish)


@pytest.mark.parametrize("prompt", ["abcde", "x" * 500, "  warm light  ", "🎨 тёплый свет", "line\nbreak"])
def test_a_wish_at_the_edge_is_taken(prompt: str) -> None:
    assert Wish.parse(prompt=prompt).prompt == prompt.strip()


def test_a_preset_that_is_off_offer_can_not_be_chosen(alice: User, sample_photo: bytes) -> None:
    PresetFactory.create(slug="old", is_active=False)

    with pytest.raises(InvalidRequest, match="no longer on offer"):
        submit_job(user=alice, wish=Wish.parse(preset="old"), images=[sample_photo])


def test_a_repetition_is_answered_even_if_the_preset_was_withdrawn_since(
    alice: User, sample_photo: bytes
) -> None:
    preset = PresetFactory.create(slug="summer")
    first = submit_job(
        user=alice, wish=Wish.parse(preset="summer"), images=[sample_photo], idempotency_key="k"
    )
    preset.is_active = False
    preset.save()

    again = submit_job(
        user=alice, wish=Wish.parse(preset="summer"), images=[sample_photo], idempotency_key="k"
    )

    assert (again.job, again.created) == (first.job, False)


def failing_submissions() -> list[tuple[str, dict[str, object], type[DomainError]]]:
    """Return submissions that must fail: name, arguments, error."""
    return [
        ("no picture", {"images": []}, InvalidRequest),
        ("four pictures", {"images": 4}, InvalidRequest),
        ("one picture for a preset of two", {"preset": "pair"}, InvalidRequest),
        ("no picture in the file", {"images": [b"this is text"]}, InvalidImage),
        ("an empty file", {"images": [b""]}, InvalidImage),
        ("the second of two is broken", {"images": [None, b"GIF89a"]}, InvalidImage),
        ("too many bytes", {"images": [bytes(21 * 1024 * 1024)]}, ImageTooLarge),
        ("a prompt against the policy", {"prompt": "remove her clothes"}, PromptRejected),
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [pytest.param(arguments, error, id=name) for name, arguments, error in failing_submissions()],
)
def test_a_submission_that_fails_leaves_nothing(
    alice: User, sample_photo: bytes, arguments: dict[str, object], error: type[DomainError]
) -> None:
    PresetFactory.create(slug="pair", photos=2)
    images = arguments.get("images", 1)
    images = [sample_photo] * images if isinstance(images, int) else images
    images = [sample_photo if image is None else image for image in images]
    preset = arguments.get("preset")
    prompt = None if preset else arguments.get("prompt", "warm light")
    before = everything()

    with pytest.raises(error):
        submit_job(user=alice, wish=Wish.parse(preset=preset, prompt=prompt), images=images)

    assert everything() == before


def test_twenty_nine_points_are_not_enough(submit: Submit, alice: User) -> None:
    ledger.grant(user_id=alice.pk, points=29 - alice.balance, key="test", reason="test")
    before = everything()

    with pytest.raises(InsufficientPoints) as refused:
        submit()

    assert refused.value.extra == {"balance": 29, "required": 30}
    assert everything() == before


def test_a_user_may_have_only_so_many_unfinished_edits(submit: Submit, settings: object) -> None:
    settings.MAX_ACTIVE_JOBS_PER_USER = 1
    submit()
    before = everything()

    with pytest.raises(TooManyJobs):
        submit()

    assert everything() == before


def test_a_blocked_user_can_not_submit(submit: Submit, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_blocked=True)
    alice.refresh_from_db()

    with pytest.raises(Blocked):
        submit()


def test_the_same_key_and_request_is_the_same_job(submit: Submit) -> None:
    first = submit(idempotency_key="k1")
    after_first = everything()

    again = submit(idempotency_key="k1")

    assert again.pk == first.pk
    assert everything() == after_first


@pytest.mark.parametrize(
    "change", [{"prompt": "another wish"}, {"seed": 5}, {"webhook_url": "https://a.test/"}]
)
def test_the_same_key_for_another_request_is_refused(submit: Submit, change: dict[str, object]) -> None:
    submit("make it warm", idempotency_key="k1")
    before = everything()

    with pytest.raises(IdempotencyMismatch):
        submit(**{"prompt": "make it warm", "idempotency_key": "k1", **change})

    assert everything() == before


def test_another_picture_under_the_same_key_is_refused(submit: Submit, alice: User) -> None:
    submit("make it warm", idempotency_key="k1")
    photo = (django_settings.BASE_DIR / "qwenedit" / "samples" / "coffee.jpg").read_bytes()

    with pytest.raises(IdempotencyMismatch):
        submit_job(
            user=alice, wish=Wish.parse(prompt="make it warm"), images=[BytesIO(photo)], idempotency_key="k1"
        )


def test_two_users_may_use_the_same_key(submit: Submit, bob: User) -> None:
    assert submit(idempotency_key="k1").pk != submit(idempotency_key="k1", user=bob).pk


def test_a_double_click_makes_one_job(submit: Submit, alice: User, each_database: str) -> None:
    outcomes = at_once(*[lambda: submit(idempotency_key="click")] * 6)

    assert errors(outcomes) == []
    assert Job.objects.count() == 1
    alice.refresh_from_db()
    assert alice.balance == django_settings.INITIAL_BALANCE - django_settings.EDIT_COST
    assert len(everything()[3]) == 1


def test_the_limits_hold_when_many_submissions_race(submit: Submit, alice: User, each_database: str) -> None:
    outcomes = at_once(*[submit] * 8)

    # 60 points are two edits: the third and every later one must find the till empty.
    assert Job.objects.count() == 2
    assert len(errors(outcomes)) == 6
    assert all(isinstance(error, InsufficientPoints) for error in errors(outcomes))
    alice.refresh_from_db()
    assert alice.balance == 0
    assert len(everything()[3]) == 2
