"""How followed jobs look: read for all of them at once."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Job
from jobs.services import cancel_job
from jobs.states import JobStatus
from qwenedit.api.snapshots import Snapshot, Topic, changes, snapshot
from tests.factories import JobFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

SITE = "https://edit.example"
A_LOOK_AT_ALL = 1  # query
A_JOB_IN_FULL = 2  # queries, and no more for many


def shown(jobs: list[Job]) -> dict[Topic, Snapshot | None]:
    """Return how jobs look now."""
    topics = {Topic(job.pk, SITE): job for job in jobs}
    return {topic: snapshot(topic, job) for topic, job in topics.items()}


@pytest.mark.parametrize("many", [1, 30])
def test_of_jobs_that_did_not_change_each_is_one_row_of_one_query(many: int) -> None:
    jobs = [JobFactory.create(status=JobStatus.RUNNING) for _ in range(many)]
    seen = shown(jobs)
    with CaptureQueriesContext(connection) as queries:
        assert changes(seen) == {}
    assert len(queries) == A_LOOK_AT_ALL


@pytest.mark.parametrize("many", [1, 30])
def test_of_jobs_that_ended_all_are_read_in_full_by_as_many_queries_as_one(many: int) -> None:
    jobs = [JobFactory.create(status=JobStatus.RUNNING) for _ in range(many)]
    seen = shown(jobs)
    for job in jobs:
        cancel_job(job=job)
    with CaptureQueriesContext(connection) as queries:
        now = changes(seen)
    assert {new.status for new in now.values() if new} == {"cancelled"}
    assert len(now) == many
    assert len(queries) == A_LOOK_AT_ALL + A_JOB_IN_FULL


def test_a_place_in_the_queue_is_found_without_reading_more_of_a_job_than_its_place() -> None:
    user = UserFactory.create(balance=1000)
    jobs = [JobFactory.create(user=user) for _ in range(6)]
    seen = shown(jobs)

    def queries_for(count: int) -> int:
        some = dict(list(seen.items())[:count])
        with CaptureQueriesContext(connection) as queries:
            changes(some)
        return len(queries)

    assert queries_for(6) - queries_for(3) <= 3, "one for each at most, to count who comes before"


def test_a_place_that_moved_is_all_that_changes() -> None:
    ahead, job = JobFactory.create(), JobFactory.create()
    seen = shown([job])
    cancel_job(job=ahead)
    [(topic, new)] = changes(seen).items()
    before = seen[topic]
    assert new
    assert before
    assert (before.fields["position"], new.fields["position"]) == (2, 1)
    moved = {"position", "eta_seconds"}
    assert {name for name in new.fields if new.fields[name] != before.fields[name]} <= moved


def test_a_job_that_is_gone_is_said_to_be() -> None:
    job = JobFactory.create()
    seen = shown([job])
    Job.objects.filter(pk=job.pk).delete()
    assert changes(seen) == {Topic(job.pk, SITE): None}
