"""Edits in the database of the system under test. Import it once Django is set up."""

from __future__ import annotations

from jobs.models import Job
from jobs.services import submit_job
from jobs.states import JobStatus
from jobs.wishes import Wish
from qwenedit.users.models import User

JOBS_PER_USER = 5


def submit_jobs(count: int, photo: bytes) -> None:
    """Queue edits of many new users, who get INITIAL_BALANCE from the ledger."""
    for number in range(count):
        if number % JOBS_PER_USER == 0:
            user = User.objects.create(username=f"bench-{number}")
        submit_job(user=user, wish=Wish.parse(prompt="make it an ink drawing"), images=[photo])


def unfinished() -> bool:
    """Tell whether an edit waits or runs."""
    return Job.objects.unfinished().exists()


def count_succeeded() -> int:
    """Return how many edits have a result."""
    return Job.objects.filter(status=JobStatus.SUCCEEDED).count()
