"""Users take turns: whoever has queued hundreds delays a newcomer by one job, and nothing waits for ever."""

import pytest
from django.utils import timezone

from jobs import fairness, scheduler
from jobs.models import Job, Node
from jobs.scheduler import Claim
from jobs.services import cancel_job, settle_failure
from jobs.states import AttemptStatus, JobStatus
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.jobs.conftest import Submit

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


def let_age(*jobs: Job) -> None:
    """Let jobs have waited for as long as one should."""
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(created_at=timezone.now() - fairness.AGEING)


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


def test_newcomers_without_end_do_not_keep_a_second_job_waiting_for_ever(submit: Submit, alice: User) -> None:
    submit(user=alice)
    claim()
    second, third = submit(user=alice), submit(user=alice)
    let_age(second, third)

    served = []
    for _ in range(12):
        fairness.prevent_starving(timezone.now())
        submit(user=UserFactory.create(balance=1000))
        submit(user=UserFactory.create(balance=1000))
        served.append(claim())

    assert second in served[:3]
    assert third in served[3:10]


def test_batch_work_that_waits_long_takes_turns_with_interactive_work(
    submit: Submit, alice: User, bob: User, carol: User
) -> None:
    batch = [submit(user=alice, priority=Job.Priority.BATCH) for _ in range(5)]
    let_age(*batch)
    interactive = [submit(user=user) for user in (bob, carol, bob, carol)]

    lifted, order = [], []
    for _ in range(6):
        lifted.append(fairness.prevent_starving(timezone.now()))
        order.append(claim())

    assert order == [batch[0], *interactive[:2], batch[1], *interactive[2:]]
    assert lifted == [1, 1, 0, 0, 1, 0], "one of a user's at a time"


def test_young_batch_work_stays_what_it_is(submit: Submit) -> None:
    submit(priority=Job.Priority.BATCH)

    assert fairness.prevent_starving(timezone.now()) == 0


def test_jobs_of_before_the_turns_are_served_by_age(submit: Submit, bob: User) -> None:
    jobs = [submit(), submit(user=bob), submit()]
    Job.objects.update(turn=0)

    assert [claim() for _ in jobs] == jobs
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.RUNNING}
