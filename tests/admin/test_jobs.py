"""Edits in the admin: everything that happened to them, their pictures, and the way to cancel them."""

from collections.abc import Callable
from io import BytesIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from PIL import Image

from jobs import pictures
from jobs.admin.jobs import JobAdmin
from jobs.models import Job, JobImage, Node
from jobs.states import JobStatus
from qwenedit.users.models import User
from tests.factories import JobFactory, JobImageFactory

LIST = "admin:jobs_job_changelist"


def change(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.pk])


def picture(image: JobImage, size: str) -> str:
    return reverse("admin:jobs_job_picture", args=[image.job_id, image.pk, size])


def found(client: Client, **query: object) -> set[Job]:
    return set(client.get(reverse(LIST), query).context["cl"].result_list)


def test_the_page_of_a_job_tells_all_that_happened(boss: Client, job: Job) -> None:
    text = boss.get(change(job)).text
    attempt = job.attempts.get()

    for told in (
        "out_of_memory",
        "Allocation &lt;on&gt; device",
        str(attempt.pk),
        attempt.node.name,
        "night &lt;b&gt;",
        f"job:{job.pk}:charge",
        f"job:{job.pk}:refund",
        picture(job.images.get(), "small"),
        picture(job.images.get(), "full"),
    ):
        assert told in text
    assert "<b>night" not in text


def test_pictures_are_shown_small_and_whole(boss: Client, job: Job) -> None:
    image = job.images.get()

    whole, small = boss.get(picture(image, "full")), boss.get(picture(image, "small"))

    assert whole.content == pictures.read(image)
    assert whole.headers["Content-Type"] == small.headers["Content-Type"] == "image/jpeg"
    assert max(Image.open(BytesIO(small.content)).size) <= 480
    assert len(small.content) < len(whole.content)
    for answer in (whole, small):
        assert {"private", "no-store"} <= set(answer.headers["Cache-Control"].split(", "))
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_pictures_are_shown_only_to_staff_who_may_see_jobs(
    staff: Callable[..., Client], client: Client, job: Job
) -> None:
    url = picture(job.images.get(), "full")
    owner = Client()
    owner.force_login(job.user)

    assert staff("view_job").get(url).status_code == 200
    assert staff("view_user").get(url).status_code == 403
    assert owner.get(url).status_code == client.get(url).status_code == 302


def test_a_picture_that_is_not_there_is_not_found(boss: Client, job: Job) -> None:
    image = job.images.get()
    other = JobFactory.create()
    no_picture = JobImageFactory.create(job=other)

    assert boss.get(reverse("admin:jobs_job_picture", args=[other.pk, image.pk, "full"])).status_code == 404
    assert boss.get(picture(no_picture, "small")).status_code == 404
    default_storage.delete(image.file.name)
    assert boss.get(picture(image, "full")).status_code == 404
    assert boss.get(picture(image, "small")).status_code == 404
    assert boss.get(change(job)).status_code == 200


def test_a_job_is_cancelled_and_paid_back_with_a_reason(boss: Client, alice: User) -> None:
    balance = alice.balance
    job = JobFactory.create(user=alice, status=JobStatus.RUNNING)
    button = reverse("admin:jobs_job_cancel_this", args=[job.pk])
    assert button in boss.get(change(job)).text

    question = boss.get(button)
    job.refresh_from_db()
    assert "give their points back?" in question.text
    assert job.status == JobStatus.RUNNING

    assert boss.post(button, {"apply": "1", "reason": "asked by mail"}).status_code == 302

    job.refresh_from_db()
    alice.refresh_from_db()
    assert (job.status, alice.balance) == (JobStatus.CANCELLED, balance)
    assert "asked by mail" in LogEntry.objects.get(object_id=str(job.pk)).change_message


def test_selected_jobs_are_cancelled_those_that_ended_stay_as_they_are(boss: Client) -> None:
    queued, running, done = (
        JobFactory.create(status=status)
        for status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED)
    )
    untouched = JobFactory.create()
    selected = {"action": "cancel", "_selected_action": [queued.pk, running.pk, done.pk]}

    question = boss.post(reverse(LIST), selected)
    assert [job.pk for job in question.context["named"]] == [running.pk, queued.pk]
    sent = {"action": question.context["action_name"], "_selected_action": question.context["selected"]}
    answer = boss.post(reverse(LIST), sent | {"apply": "1", "reason": "outage"}, follow=True)

    assert "2 jobs cancelled." in answer.text
    statuses = dict(Job.objects.values_list("pk", "status"))
    assert statuses == {
        queued.pk: JobStatus.CANCELLED,
        running.pk: JobStatus.CANCELLED,
        done.pk: JobStatus.SUCCEEDED,
        untouched.pk: JobStatus.QUEUED,
    }


def test_a_job_that_has_ended_offers_nothing_to_cancel(boss: Client, job: Job) -> None:
    button = reverse("admin:jobs_job_cancel_this", args=[job.pk])

    assert button not in boss.get(change(job)).text
    assert boss.post(button, {"apply": "1", "reason": "x"}).status_code == 403
    job.refresh_from_db()
    assert job.status == JobStatus.FAILED


def test_staff_who_may_change_jobs_may_cancel_but_not_edit(staff: Callable[..., Client]) -> None:
    job = JobFactory.create()
    clerk = staff("view_job", "change_job")

    assert clerk.post(change(job), {"prompt": "other", "status": "succeeded"}).status_code == 403
    clerk.post(reverse(LIST), {"action": "cancel", "_selected_action": [job.pk], "apply": "1", "reason": "x"})

    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED


def test_jobs_are_neither_added_nor_edited_nor_deleted_even_by_superusers(boss: Client, job: Job) -> None:
    assert boss.post(reverse("admin:jobs_job_add"), {}).status_code == 403
    assert boss.post(change(job), {"prompt": "other"}).status_code == 403
    assert boss.post(reverse("admin:jobs_job_delete", args=[job.pk]), {"post": "yes"}).status_code == 403


def test_jobs_are_found_by_number_user_and_words(boss: Client, job: Job, alice: User) -> None:
    hers = JobFactory.create(user=alice, prompt="A castle by the SEA")

    assert found(boss, q=hers.pk) >= {hers}
    assert found(boss, q=f"#{job.pk}") >= {job}
    assert found(boss, q="alice") == found(boss, q=alice.telegram_id) == {hers}
    assert found(boss, q="by the sea") == {hers}
    assert found(boss, q="nothing like it") == set()


def test_jobs_are_filtered_by_error_and_by_node(boss: Client, job: Job) -> None:
    node = job.attempts.get().node
    unused = Node.objects.create(name="unused", url="http://unused.example")

    assert found(boss, error_code="out_of_memory") == {job}
    assert found(boss, error_code="prompt_lost") == set()
    assert found(boss, node=node.pk) == {job}
    assert found(boss, node=unused.pk) == set()
    for nonsense in ("x", "99999999999999999999"):
        assert boss.get(reverse(LIST), {"node": nonsense}).status_code == 302


def test_a_list_longer_than_it_counts_still_opens(
    boss: Client, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert boss.get(reverse(LIST)).context["cl"].result_count == Job.objects.count() > 4
    monkeypatch.setattr("qwenedit.admin.MOST_COUNTED", 4)
    monkeypatch.setattr(JobAdmin, "list_per_page", 3)

    first, last = (boss.get(reverse(LIST), {"p": page}).context["cl"] for page in (1, 2))

    assert (first.result_count, len(first.result_list), len(last.result_list)) == (4, 3, 1)
