"""A lease is kept while its runner lives, whatever the runner waits for, and fences whoever lost it."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import requests
from django.db import IntegrityError, OperationalError, connection, connections
from django.utils import timezone

from jobs import attempts, leases, pictures, runner, scheduler
from jobs.attempts import AttemptRun
from jobs.leases import LeaseKeeper
from jobs.models import Attempt, Job, StaleState
from jobs.scheduler import Claim, Idle
from jobs.services import Lease, cancel_job, settle_failure
from jobs.signals import Receiver, job_finished
from jobs.states import AttemptStatus, JobStatus
from payments.models import LedgerEntry
from tests.jobs.conftest import Submit
from tests.runners import run_claimed
from tests.servers import SandboxServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def claim() -> Claim:
    """Claim the next job, or adopt it."""
    claimed = scheduler.claim_next()
    assert isinstance(claimed, Claim)
    return claimed


def adopt(job: Job) -> Claim:
    """Take a job over whose lease has run out."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    return claim()


def in_thread(action: Callable[[], object]) -> threading.Thread:
    """Start `action` in a thread that closes its connection."""

    def target() -> None:
        try:
            action()
        finally:
            connections.close_all()

    thread = threading.Thread(target=target)
    thread.start()
    return thread


def post(sandbox: SandboxServer, prompt_id: str) -> None:
    """Submit some prompt to the node."""
    graph = {
        "noise": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        },
        "save": {"class_type": "PreviewImage", "inputs": {"images": ["noise", 0]}},
    }
    body = {"prompt": graph, "prompt_id": prompt_id, "client_id": "late"}
    requests.post(f"{sandbox.url}/prompt", json=body, timeout=30).raise_for_status()


def queue_of(sandbox: SandboxServer) -> dict[str, list[object]]:
    """Return what the node runs and what waits on it."""
    queue: dict[str, list[object]] = requests.get(f"{sandbox.url}/queue", timeout=30).json()
    return queue


def test_a_runner_whose_node_answers_slowly_keeps_its_job(
    submit: Submit, node: object, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.1)
    job = submit()
    slow = claim()
    sandbox.control(delay=3)  # every upload, prompt and poll
    renewals: list[datetime] = []

    def renew(lease: Lease, *, now: datetime, really: Callable[..., None] = scheduler.renew) -> None:
        really(lease, now=now)
        renewals.append(now)

    monkeypatch.setattr(scheduler, "renew", renew)
    worker = in_thread(lambda: run_claimed(slow))
    wait_until(lambda: len(renewals) >= 5)
    assert slow.attempt.submitted_at is None, "while the runner waits for the node"
    worker.join(120)
    job.refresh_from_db()
    assert (job.status, job.attempts.count()) == (JobStatus.SUCCEEDED, 1)


def test_a_keeper_says_that_the_lease_was_lost(
    submit: Submit, node: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.05)
    job = submit()
    with LeaseKeeper(claim().lease, longest=60) as keeper:
        keeper.check()
        cancel_job(job=job)
        wait_until(lambda: not keeper.is_held)

        with pytest.raises(StaleState):
            keeper.check()


def test_a_keeper_lets_go_of_a_runner_that_never_ends(
    submit: Submit, node: object, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.05)
    settings.JOB_LEASE = timedelta(seconds=1)
    submit()
    endless = claim()
    with LeaseKeeper(endless.lease, longest=2):
        wait_until(lambda: Job.objects.filter(lease_until__gt=endless.job.lease_until).exists())
        wait_until(lambda: Job.objects.abandoned(timezone.now()).exists())


def test_a_short_attempt_takes_no_thread_for_its_lease(
    submit: Submit, node: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.1)
    submit()
    lease = claim().lease
    started: list[LeaseKeeper] = []
    monkeypatch.setattr(LeaseKeeper, "start", lambda keeper: started.append(keeper))
    with LeaseKeeper(lease, longest=60):
        pass
    with LeaseKeeper(lease, longest=60) as later:
        wait_until(lambda: started)
    assert started == [later]


def test_a_keeper_for_which_there_is_no_thread_is_started_in_the_next_round(
    submit: Submit, node: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.1)
    submit()
    first = claim()
    start = LeaseKeeper.start
    refusals = iter([RuntimeError("can't start new thread")] * 3)

    def refuse_at_first(keeper: LeaseKeeper) -> None:
        for refusal in refusals:
            raise refusal
        start(keeper)

    monkeypatch.setattr(LeaseKeeper, "start", refuse_at_first)
    with LeaseKeeper(first.lease, longest=60):
        wait_until(lambda: Job.objects.filter(lease_until__gt=first.job.lease_until).exists())


def test_a_runner_that_lost_its_lease_leaves_the_prompt_to_whoever_adopted_it(
    submit: Submit, node: object, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(seconds_per_step=20)
    slow = claim()
    AttemptRun(slow, LeaseKeeper(slow.lease, longest=60)).submit()
    adopt(job)

    with pytest.raises(StaleState):
        runner._settle_failure(slow, code="x", message="x", detail="x", retryable=True)

    answer = requests.get(f"{sandbox.url}/api/jobs/{slow.attempt.pk}", timeout=30).json()
    assert answer["status"] in {"pending", "in_progress"}
    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.RUNNING, 0)


def test_a_prompt_that_was_posted_after_its_attempt_was_lost_is_taken_off_the_node(
    submit: Submit, node: object, sandbox: SandboxServer
) -> None:
    job = submit()
    late = claim()
    heir = adopt(job)
    settle_failure(
        lease=heir.lease,
        attempt=heir.attempt,
        code="x",
        message="x",
        detail="x",
        retryable=True,
        consumed=False,
    )
    sandbox.control(hang=True)
    post(sandbox, str(uuid4()))
    wait_until(lambda: queue_of(sandbox)["queue_running"])
    post(sandbox, str(late.attempt.pk))
    assert len(queue_of(sandbox)["queue_pending"]) == 1

    runner.leave(late.attempt)

    assert queue_of(sandbox)["queue_pending"] == []
    assert Attempt.objects.get(pk=late.attempt.pk).status == AttemptStatus.LOST


def test_nothing_is_posted_under_a_lease_that_can_not_be_confirmed(
    submit: Submit, node: object, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    monkeypatch.setattr(leases, "CERTAIN_FOR", 0.0)
    claimed = claim()

    def away(*_args: object, **_options: object) -> None:
        raise OperationalError("the database does not answer")

    monkeypatch.setattr(scheduler, "renew", away)
    run_claimed(claimed)

    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING, "left to be adopted"
    assert requests.get(f"{sandbox.url}/history", timeout=30).json() == {}
    assert queue_of(sandbox) == {"queue_running": [], "queue_pending": []}


@pytest.mark.postgres
def test_a_database_that_restarts_during_an_edit_costs_nothing(
    submit: Submit, node: object, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PROGRESS_EVERY", 1e12)
    job = submit()
    sandbox.control(seconds_per_step=1)
    worker = in_thread(lambda: run_claimed(claim()))
    wait_until(lambda: Attempt.objects.filter(executing_at__isnull=False).exists())

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        assert cursor.rowcount >= 1
    worker.join(30)

    job.refresh_from_db()
    assert (job.status, job.attempts.count()) == (JobStatus.SUCCEEDED, 1)


def test_a_row_that_contradicts_itself_holds_up_nobody(submit: Submit, node: object, bob: object) -> None:
    broken, sound = submit(), submit(user=bob)
    claim()
    Attempt.objects.filter(job=broken).update(status=AttemptStatus.LOST)
    Job.objects.filter(pk=broken.pk).update(lease_until=timezone.now() - timedelta(seconds=1))

    jobs = []
    while isinstance(claimed := scheduler.claim_next(), Claim):
        jobs.append(claimed.job)

    assert sorted(job.pk for job in jobs) == sorted([broken.pk, sound.pk])
    assert broken.attempts.filter(status=AttemptStatus.ACTIVE).count() == 1


def test_an_error_that_the_database_raises_every_time_ends_the_job_instead_of_looping(
    submit: Submit, run: Callable[[], Claim | Idle], request: pytest.FixtureRequest
) -> None:
    job = submit()

    def receiver(job: Job, **_signal: object) -> Receiver:
        yield pictures.inputs.of(job.pk)
        if job.status == JobStatus.SUCCEEDED:
            raise IntegrityError("a receiver's own mistake")

    job_finished.connect(receiver)
    request.addfinalizer(lambda: job_finished.disconnect(receiver))

    for _ in range(3):
        run()

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "internal_error")
    assert LedgerEntry.objects.filter(key=f"job:{job.pk}:refund").count() == 1
