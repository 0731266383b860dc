"""Places in the queue: the same for many jobs at once as for each alone."""

import pytest

from jobs import estimates
from jobs.models import Job
from tests.factories import JobFactory


def test_many_are_told_the_places_that_each_would_be_told_alone(
    each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    priorities = [Job.Priority.INTERACTIVE, Job.Priority.INTERACTIVE + 1, Job.Priority.INTERACTIVE - 1]
    jobs = [JobFactory.create(priority=priority) for priority in 2 * priorities]
    alone = {job.pk: estimates.estimate(job) for job in jobs}
    assert [alone[job.pk].position for job in jobs if alone[job.pk]] == [3, 1, 5, 4, 2, 6]

    monkeypatch.setattr(estimates, "MOST_COUNTED", 1)
    assert estimates.estimates(jobs) == alone
