"""Users take turns: whoever has queued hundreds delays a newcomer by one job, and nothing waits for ever."""

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import fairness, scheduler
from jobs.models import Job, Node
from jobs.scheduler import Claim
from jobs.services import settle_failure
from jobs.states import JobStatus
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


def test_a_retry_keeps_its_place_and_lets_nobody_else_jump_the_queue(
    submit: Submit, alice: User, bob: User, carol: User
) -> None:
    retried = submit(user=alice)
    claimed = scheduler.claim_next()
    assert isinstance(claimed, Claim)
    settle_failure(
        lease=claimed.lease, attempt=claimed.attempt, code="x", message="x", detail="x", retryable=True
    )
    Job.objects.filter(pk=retried.pk).update(turn=0)
    Job.objects.filter(pk=submit(user=bob).pk).update(turn=50)

    newcomer = submit(user=carol)

    assert newcomer.turn == 50, "the turn of the retry has passed"


def test_batch_work_that_waits_long_takes_turns_with_interactive_work(
    submit: Submit, alice: User, bob: User
) -> None:
    batch = [submit(user=alice, priority=Job.Priority.BATCH) for _ in range(3)]
    interactive = [submit(user=bob) for _ in range(3)]
    now = timezone.now()
    Job.objects.filter(pk__in=[job.pk for job in batch]).update(created_at=now - fairness.AGEING)

    assert fairness.lift_aged(now + timedelta(seconds=1)) == 1
    assert fairness.lift_aged(now + timedelta(seconds=1)) == 0, "one of a user's at a time"

    assert batch[0].pk in {claim().pk for _ in range(2)}
    assert {claim().pk for _ in range(2)} == {job.pk for job in interactive[1:]}


def test_young_batch_work_stays_what_it_is(submit: Submit) -> None:
    submit(priority=Job.Priority.BATCH)

    assert fairness.lift_aged(timezone.now()) == 0


def test_jobs_of_before_the_turns_are_served_by_age(submit: Submit, bob: User) -> None:
    jobs = [submit(), submit(user=bob), submit()]
    Job.objects.update(turn=0)

    assert [claim() for _ in jobs] == jobs
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.RUNNING}
