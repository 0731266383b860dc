"""Cancelling: points back unless the edit had succeeded, whoever else is at the job."""

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from jobs.models import Attempt, Job, Node, StaleState
from jobs.scheduler import Claim, claim_next
from jobs.services import cancel_job, settle_success
from jobs.states import JobStatus
from payments.models import LedgerEntry
from qwenedit.lib.images import strip_result
from qwenedit.users.models import User
from tests.jobs.conftest import Submit
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def refunds(job: Job) -> int:
    """Return how often a job's points came back."""
    return LedgerEntry.objects.filter(key=f"job:{job.pk}:refund").count()


def test_a_queued_job_is_cancelled_and_refunded(submit: Submit, alice: User) -> None:
    job = cancel_job(job=submit())

    alice.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert job.finished_at is not None
    assert alice.balance == django_settings.INITIAL_BALANCE


def test_cancelling_again_changes_nothing(submit: Submit) -> None:
    job = cancel_job(job=submit())
    first = Job.objects.values().get(pk=job.pk)

    assert cancel_job(job=job).status == JobStatus.CANCELLED
    assert Job.objects.values().get(pk=job.pk) == first
    assert refunds(job) == 1


def test_a_job_that_succeeded_stays_so_and_is_paid(submit: Submit, node: Node, sample_photo: bytes) -> None:
    job = submit()
    claim = claim_next()
    assert isinstance(claim, Claim)
    settle_success(lease=claim.lease, attempt=claim.attempt, result=strip_result(sample_photo))

    assert cancel_job(job=job).status == JobStatus.SUCCEEDED
    assert refunds(job) == 0


def test_a_cancelled_job_can_not_succeed_any_more(submit: Submit, node: Node, sample_photo: bytes) -> None:
    job = submit()
    claim = claim_next()
    assert isinstance(claim, Claim)
    cancel_job(job=job)

    with pytest.raises(StaleState):
        settle_success(lease=claim.lease, attempt=claim.attempt, result=strip_result(sample_photo))

    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert refunds(job) == 1


def test_cancel_and_success_at_once_agree(
    submit: Submit, alice: User, sample_photo: bytes, each_database: str
) -> None:
    node = Node.objects.create(name="n", url="http://127.0.0.1:1")
    job = submit()
    from uuid import uuid4

    from jobs.services import Lease

    lease = Lease(job.pk, uuid4())
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(status="running", lease_token=lease.token, lease_until=now)
    attempt = Attempt.objects.create(job=job, node=node, number=1)
    result = strip_result(sample_photo)

    at_once(
        lambda: cancel_job(job=job).status,
        lambda: settle_success(lease=lease, attempt=attempt, result=result).status,
        lambda: cancel_job(job=job).status,
    )

    job.refresh_from_db()
    alice.refresh_from_db()
    assert job.status in {JobStatus.CANCELLED, JobStatus.SUCCEEDED}
    cancelled = job.status == JobStatus.CANCELLED
    assert refunds(job) == cancelled
    paid = 0 if cancelled else job.price
    assert alice.balance == django_settings.INITIAL_BALANCE - paid
    assert job.images.filter(role="result").count() == (not cancelled)
