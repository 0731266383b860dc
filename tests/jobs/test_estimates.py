"""Place and time to go, told from the order in which jobs are really served."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import estimates as told
from jobs import scheduler
from jobs.estimates import (
    FIRST_GUESS,
    estimate,
    estimates,
    known_at_work,
    known_far,
    known_fleet,
    typical_duration,
)
from jobs.models import Attempt, Job, Node
from jobs.scheduler import Claim
from jobs.services import cancel_job
from jobs.states import AttemptStatus
from qwenedit.users.models import User
from tests.factories import NodeFactory
from tests.jobs.conftest import Submit

pytestmark = pytest.mark.django_db(transaction=True)

GUESS = FIRST_GUESS.total_seconds()


@pytest.fixture(autouse=True)
def _roomy(settings: object, node: Node) -> None:
    settings.MAX_RUNNING_JOBS_PER_USER = 100
    settings.EDIT_COST = 1


def place_of(job: Job) -> tuple[int, float]:
    """Return a job's position, and its time to go in typical durations."""
    found = estimate(job)
    assert found is not None
    return found.position, found.eta_seconds / GUESS


def test_the_only_job_is_first_and_takes_one_duration(submit: Submit) -> None:
    assert place_of(submit()) == (1, 1.0)


def test_places_follow_the_order_of_serving_and_not_that_of_arrival(
    submit: Submit, alice: User, bob: User
) -> None:
    first, second = submit(user=alice), submit(user=alice)
    newcomer = submit(user=bob)

    assert [place_of(job)[0] for job in (first, newcomer, second)] == [1, 2, 3]
    claimed = [scheduler.claim_next(), scheduler.claim_next()]
    assert [claim.job for claim in claimed if isinstance(claim, Claim)] == [first, newcomer]


def test_interactive_work_is_before_batch_work(submit: Submit) -> None:
    batch = submit(priority=Job.Priority.BATCH)
    interactive = submit()

    assert (place_of(interactive)[0], place_of(batch)[0]) == (1, 2)


def test_what_runs_counts_for_what_is_left_of_it(submit: Submit, bob: User) -> None:
    submit()
    claimed = scheduler.claim_next()
    assert isinstance(claimed, Claim)
    waiting = submit(user=bob)
    began = timezone.now() - FIRST_GUESS / 2
    Attempt.objects.update(executing_at=began)

    position, durations = place_of(waiting)
    spent = (timezone.now() - began) / FIRST_GUESS

    assert position == 1
    assert 2 - spent <= durations <= 1.5 + 1 / GUESS, "told in whole seconds"


def test_two_nodes_work_side_by_side(submit: Submit, sandbox: object) -> None:
    NodeFactory.create(url=f"{sandbox.url}/")
    jobs = [submit() for _ in range(5)]

    assert [place_of(job) for job in jobs] == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]


def test_a_users_own_jobs_pass_a_few_at_a_time_however_many_nodes_there_are(
    submit: Submit, sandbox: object, settings: object
) -> None:
    settings.MAX_RUNNING_JOBS_PER_USER = 1
    NodeFactory.create(url=f"{sandbox.url}/")
    jobs = [submit() for _ in range(3)]

    assert [place_of(job) for job in jobs] == [(1, 1), (2, 2), (3, 3)]


def test_silent_nodes_are_no_lanes(submit: Submit) -> None:
    NodeFactory.create(url="http://127.0.0.1:1", is_healthy=False)
    submit()

    assert place_of(submit())[1] == 2


@pytest.mark.parametrize("seconds", [60, -60], ids=["paused", "on trial"])
def test_nodes_that_lately_failed_are_no_lanes(submit: Submit, seconds: int) -> None:
    NodeFactory.create(
        url="http://127.0.0.1:1", tripped_until=timezone.now() + timedelta(seconds=seconds), failures_in_row=3
    )
    submit()

    assert place_of(submit())[1] == 2


def test_where_no_node_works_the_time_counts_from_when_one_does(submit: Submit, node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(is_healthy=False)
    submit()

    assert place_of(submit()) == (2, 2)


def test_durations_are_those_measured_lately(submit: Submit) -> None:
    submit()
    claimed = scheduler.claim_next()
    assert isinstance(claimed, Claim)
    began = timezone.now()
    Attempt.objects.update(
        status=AttemptStatus.SUCCEEDED, executing_at=began, finished_at=began + timedelta(seconds=3)
    )

    known_fleet.forget()  # as a second later

    assert typical_duration() == timedelta(seconds=3)
    found = estimate(submit())
    assert found is not None
    assert found.eta_seconds == 3


def test_many_are_told_what_each_would_be_told_alone(submit: Submit, bob: User) -> None:
    jobs = [
        submit(**options)
        for options in ({}, {"priority": Job.Priority.BATCH}, {}, {"user": bob}, {"user": bob}, {})
    ]
    alone = {job.pk: estimate(job) for job in jobs}
    assert [place.position for place in alone.values() if place] == [1, 6, 3, 2, 4, 5]
    assert estimates(jobs) == alone


def test_a_place_far_from_the_front_is_counted_once_a_second(
    submit: Submit, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "FAR", 2)
    ahead = [submit(), submit(), submit()]
    near, far = ahead[1], submit(user=bob, priority=Job.Priority.BATCH)
    assert (place_of(near)[0], place_of(far)[0]) == (2, 4)

    cancel_job(job=ahead[0])
    assert (place_of(near)[0], place_of(far)[0]) == (1, 4)
    known_far.forget()  # as a second later
    assert place_of(far)[0] == 3


def test_what_is_at_work_is_read_once_a_second_for_who_is_far_and_anew_for_who_is_near(
    submit: Submit, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "FAR", 1)
    for remembered in (known_fleet, known_at_work):
        monkeypatch.setattr(remembered, "_seconds", 600.0)
    monkeypatch.setattr(known_far, "_seconds", 600.0)
    near, far = submit(), submit(user=bob, priority=Job.Priority.BATCH)
    place_of(far), place_of(far)

    with CaptureQueriesContext(connection) as queries:
        place_of(far)
    assert len(queries) == 0

    with CaptureQueriesContext(connection) as queries:
        place_of(near)
    assert len(queries) > 0
