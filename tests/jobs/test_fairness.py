"""Users take turns: whoever has queued hundreds delays a newcomer by one job, and nothing waits for ever."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connections, transaction
from django.utils import timezone

from jobs import fairness, scheduler, services
from jobs.models import Job, Node
from jobs.scheduler import Claim
from jobs.services import cancel_job, settle_failure
from jobs.states import AttemptStatus, JobStatus
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.jobs.conftest import Submit

Clock = time_machine.Traveller

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _roomy(settings: object, node: Node) -> None:
    settings.COMFYUI_NODE_DEPTH = 1000
    settings.MAX_RUNNING_JOBS_PER_USER = 1000
    settings.MAX_ACTIVE_JOBS_PER_USER = 1000
    settings.EDIT_COST = 1


@pytest.fixture
def carol() -> User:
    return UserFactory.create(balance=10_000)


def claim() -> Job:
    """Claim the next job."""
    claimed = scheduler.claim_next()
    assert isinstance(claimed, Claim)
    return claimed.job


def claimed_owners(count: int) -> list[int]:
    """Claim so many jobs; return whose they were, in order."""
    return [claim().user_id for _ in range(count)]


def end(job: Job) -> None:
    """End a running job."""
    Job.objects.filter(pk=job.pk).update(
        status=JobStatus.SUCCEEDED, finished_at=timezone.now(), lease_token=None, lease_until=None
    )
    job.attempts.update(status=AttemptStatus.SUCCEEDED, finished_at=timezone.now())


def submit_and_claim(submit: Submit, user: User) -> Job:
    """Submit a job that is served at once."""
    job = submit(user=user)
    assert claim() == job
    return job


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The time, which stands still but for `shift`."""
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def test_three_users_are_served_in_turn(submit: Submit, alice: User, bob: User, carol: User) -> None:
    for user in (alice, alice, alice, bob, bob, carol):
        submit(user=user)

    assert claimed_owners(6) == [user.pk for user in (alice, bob, carol, alice, bob, alice)]


def test_a_newcomer_waits_for_one_job_of_whoever_queued_many(submit: Submit, alice: User, bob: User) -> None:
    for _ in range(30):
        submit(user=alice)
    claimed_owners(10)
    newcomer = submit(user=bob)

    assert newcomer.pk in {claim().pk for _ in range(2)}


def test_whoever_was_served_last_comes_after_whoever_was_not(submit: Submit, alice: User, bob: User) -> None:
    submit(user=alice)
    claim()
    again = submit(user=alice)
    first = submit(user=bob)

    assert [claim(), claim()] == [first, again]


def test_an_absence_saves_up_no_turns(submit: Submit, alice: User, bob: User) -> None:
    for _ in range(12):
        submit(user=alice)
    claimed_owners(8)
    for _ in range(4):
        submit(user=bob)

    owners = claimed_owners(8)

    assert sorted(owners[:2]) == sorted(owners[2:4]) == sorted(owners[4:6]) == sorted([alice.pk, bob.pk])


def test_whoever_sends_one_after_another_does_not_pass_by_a_second_job_that_waits(
    submit: Submit, alice: User, bob: User, carol: User
) -> None:
    for user in (alice, bob, carol):
        submit(user=user)
    waits = submit(user=alice)

    ended = []
    for _ in range(4):
        job = claim()
        end(job)
        ended.append(job)
        submit(user=job.user)

    assert waits in ended


def test_what_was_cancelled_costs_no_turn(submit: Submit, alice: User, bob: User) -> None:
    for job in [submit(user=alice) for _ in range(5)]:
        cancel_job(job=job)
    again = submit(user=alice)
    submit(user=bob)

    assert claim() == again


def test_a_retry_keeps_its_place_and_lets_nobody_else_jump_the_queue(
    submit: Submit, alice: User, bob: User, carol: User
) -> None:
    retried, later = submit(user=alice), submit(user=alice)
    claimed = scheduler.claim_next()
    assert isinstance(claimed, Claim)
    assert claim() == later
    settle_failure(
        lease=claimed.lease, attempt=claimed.attempt, code="x", message="x", detail="x", retryable=True
    )
    waits = submit(user=bob)
    Job.objects.filter(pk=retried.pk).update(next_attempt_at=timezone.now())

    assert claim() == retried
    newcomer = submit(user=carol)
    assert [claim(), claim()] == [waits, newcomer], "the turn of the retry has passed"


def test_what_was_cancelled_before_it_costs_a_job_no_turn(submit: Submit, alice: User, bob: User) -> None:
    jobs = [submit(user=alice) for _ in range(6)]
    for job in jobs[:4]:
        cancel_job(job=job)
    others = [submit(user=bob) for _ in range(4)]

    fairness.straighten(timezone.now())

    assert [claim() for _ in range(4)] == [jobs[4], others[0], jobs[5], others[1]]


def test_newcomers_without_end_do_not_keep_a_second_job_waiting_for_ever(
    submit: Submit, alice: User, clock: Clock
) -> None:
    end(submit_and_claim(submit, alice))
    waiting = [submit(user=alice) for _ in range(3)]

    served = []
    for _ in range(25):  # minutes; the newcomers of a minute wait for more than five before long
        clock.shift(60)
        for _ in range(2):
            submit(user=UserFactory.create(balance=1000))
        fairness.straighten(timezone.now())
        served.append(claim())
        end(served[-1])

    places = [served.index(job) for job in waiting]
    assert places[0] <= 6
    assert places[1] - places[0] in range(5, 8), "one in five minutes: newcomers wait for no more than that"
    assert places[2] - places[1] in range(5, 8)


def test_who_may_have_no_more_at_work_does_not_keep_others_waiting_for_ever(
    submit: Submit, alice: User, bob: User, clock: Clock, settings: Any
) -> None:
    settings.MAX_RUNNING_JOBS_PER_USER = 2
    for _ in range(6):
        submit(user=alice)
    for _ in range(2):
        Job.objects.filter(pk=claim().pk).update(lease_until=timezone.now() + timedelta(days=1))
    end(submit_and_claim(submit, bob))
    waits = submit(user=bob)

    served = []
    for _ in range(10):
        clock.shift(60)
        submit(user=UserFactory.create(balance=1000))
        submit(user=UserFactory.create(balance=1000))
        fairness.straighten(timezone.now())
        served.append(claim())
        end(served[-1])

    assert waits in served


def test_who_may_have_no_more_at_work_saves_up_no_turns(
    submit: Submit, alice: User, bob: User, carol: User, settings: Any
) -> None:
    settings.MAX_RUNNING_JOBS_PER_USER = 2
    long = [submit(user=alice) for _ in range(8)]
    working = [claim(), claim()]
    for _ in range(10):
        end(submit_and_claim(submit, bob))
    for job in working:
        end(job)
    newcomer = submit(user=carol)

    fairness.straighten(timezone.now())

    assert [claim(), claim()] == [long[2], newcomer]


def test_batch_work_that_waits_long_takes_turns_with_interactive_work(
    submit: Submit, alice: User, bob: User, carol: User
) -> None:
    batch = [submit(user=alice, priority=Job.Priority.BATCH) for _ in range(5)]
    Job.objects.update(created_at=timezone.now() - fairness.AGEING)
    interactive = [submit(user=user) for user in (bob, carol, bob, carol)]

    order = []
    for _ in range(6):
        fairness.straighten(timezone.now())
        lifted = Job.objects.filter(status=JobStatus.QUEUED, user=alice, priority=Job.Priority.INTERACTIVE)
        assert lifted.count() == 1, "one of a user's at a time"
        order.append(claim())

    assert order == [batch[0], *interactive[:2], batch[1], *interactive[2:]]


@pytest.mark.postgres
def test_a_first_claim_does_not_wait_for_who_holds_the_users_row(submit: Submit, alice: User) -> None:
    job = submit(user=alice)
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                services._lock_user(alice.pk)
                is_held.set()
                may_go.wait(5)
        finally:
            connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert is_held.wait(5)
    claimed = claim()
    is_still_held = holder.is_alive()
    may_go.set()
    holder.join()

    assert claimed == job
    assert is_still_held


def test_young_batch_work_stays_what_it_is(submit: Submit) -> None:
    submit(priority=Job.Priority.BATCH)

    fairness.straighten(timezone.now())

    assert Job.objects.get().priority == Job.Priority.BATCH


def test_jobs_of_before_the_turns_are_served_by_age(submit: Submit, bob: User) -> None:
    jobs = [submit(), submit(user=bob), submit()]
    Job.objects.update(turn=0)

    assert [claim() for _ in jobs] == jobs
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.RUNNING}
