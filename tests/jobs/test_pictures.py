"""Files and the rows that name them, whatever dies between the two."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.files.storage import default_storage
from django.db import OperationalError, connection
from django.utils import timezone

from jobs import recovery
from jobs.models import Job, JobImage
from jobs.scheduler import Claim, claim_next
from jobs.services import settle_success
from jobs.states import JobStatus
from qwenedit.lib.images import strip_result
from tests.jobs.conftest import Submit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def expired(submit: Submit) -> list[str]:
    """The files of a job whose pictures are past their time."""
    job = submit()
    long_ago = timezone.now() - timedelta(days=django_settings.RESULT_RETENTION_DAYS, minutes=1)
    Job.objects.filter(pk=job.pk).update(status=JobStatus.SUCCEEDED, finished_at=long_ago)
    return list(job.images.values_list("file", flat=True))


def test_a_file_whose_row_may_be_committed_is_kept(
    submit: Submit, node: object, sample_photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit()
    claim = claim_next()
    assert isinstance(claim, Claim)
    commit = connection.commit

    def lose_the_answer() -> None:
        commit()
        raise OperationalError("server closed the connection unexpectedly")

    # No server loses the answer to one COMMIT on demand.
    with monkeypatch.context() as patch:
        patch.setattr(connection, "commit", lose_the_answer)
        with pytest.raises(OperationalError):
            settle_success(lease=claim.lease, attempt=claim.attempt, result=strip_result(sample_photo))

    result = JobImage.objects.get(role=JobImage.Role.RESULT)
    assert default_storage.exists(result.file.name)


def test_a_submission_whose_message_can_not_be_sent_keeps_its_pictures(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("an error nobody foresaw, after the commit")

    with monkeypatch.context() as patch:
        patch.setattr("jobs.services.wake_queue", fail)
        with pytest.raises(RuntimeError):
            submit()

    assert default_storage.exists(JobImage.objects.get().file.name)


def test_a_purge_that_dies_half_way_is_finished_by_the_next(
    expired: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Ends the purge as a signal would."""

    def die(*_arguments: object) -> None:
        raise Killed

    for step in ("jobs.pictures.delete_files", "django.db.models.QuerySet.delete"):
        with monkeypatch.context() as patch:
            patch.setattr(step, die)
            with pytest.raises(Killed):
                recovery.purge()

    recovery.purge()

    assert not any(default_storage.exists(name) for name in expired)
    assert JobImage.objects.count() == 0


def test_a_file_that_can_not_be_deleted_keeps_its_row_and_stops_nothing(
    expired: list[str], submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete: Callable[[str], None] = default_storage.delete
    submit()
    long_ago = Job.objects.filter(finished_at__isnull=False).values_list("finished_at", flat=True).get()
    Job.objects.update(status=JobStatus.SUCCEEDED, finished_at=long_ago)

    def refuse(name: str) -> None:
        if name in expired:
            raise OSError("the disk is read-only")
        delete(name)

    with monkeypatch.context() as patch:
        patch.setattr(default_storage, "delete", refuse)
        recovery.purge()
    assert list(JobImage.objects.values_list("file", flat=True)) == expired

    recovery.purge()
    assert JobImage.objects.count() == 0
