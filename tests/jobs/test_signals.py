"""The news of a job's end: what receivers ask travels together, and they go on once the job has ended."""

import pytest

from jobs import pictures
from jobs.models import Job, JobImage
from jobs.services import cancel_job
from jobs.signals import EndOfJob, Receiver, job_finished, tell_end
from jobs.states import JobStatus
from qwenedit.lib.compiled import together
from tests.factories import JobFactory
from tests.jobs.conftest import Submit

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_receiver_goes_on_with_its_answer_when_the_job_has_ended(
    submit: Submit, request: pytest.FixtureRequest, each_database: str
) -> None:
    heard: list[tuple[str, list[JobImage]]] = []

    def receiver(job: Job, **_signal: object) -> Receiver:
        images = yield pictures.inputs.of(job.pk)
        heard.append((job.status, images))

    job_finished.connect(receiver)
    request.addfinalizer(lambda: job_finished.disconnect(receiver))
    job = submit(photos=2)

    cancel_job(job=job)

    assert heard == [(JobStatus.CANCELLED, list(job.images.order_by("position")))]


def test_a_job_that_does_not_end_after_all_is_told_to_nobody(
    submit: Submit, request: pytest.FixtureRequest
) -> None:
    heard: list[int] = []

    def receiver(job: Job, **_signal: object) -> Receiver:
        yield pictures.inputs.of(job.pk)
        heard.append(job.pk)

    job_finished.connect(receiver)
    request.addfinalizer(lambda: job_finished.disconnect(receiver))

    together(*EndOfJob(submit()).questions)

    assert heard == []


def test_a_receiver_that_asks_again_is_a_mistake(request: pytest.FixtureRequest) -> None:
    def receiver(job: Job, **_signal: object) -> Receiver:
        yield pictures.inputs.of(job.pk)
        yield pictures.inputs.of(job.pk)

    job_finished.connect(receiver)
    request.addfinalizer(lambda: job_finished.disconnect(receiver))

    with pytest.raises(TypeError, match="asks once"):
        tell_end(JobFactory.create(status=JobStatus.SUCCEEDED))
