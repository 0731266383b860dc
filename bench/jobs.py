"""Edits in the database of the system under test. Import it once Django is set up."""

from __future__ import annotations

from uuid import uuid4

from jobs.models import Job
from jobs.services import submit_job
from jobs.states import JobStatus
from jobs.wishes import Wish
from qwenedit.users.models import User

JOBS_PER_USER = 5


def submit_jobs(count: int, photo: bytes) -> list[int]:
    """Queue edits of many new users, who get INITIAL_BALANCE from the ledger; return their ids."""
    submitted = []
    for number in range(count):
        if number % JOBS_PER_USER == 0:
            user = User.objects.create(username=f"bench-{uuid4()}")
        wish = Wish.parse(prompt="make it an ink drawing")
        submitted.append(submit_job(user=user, wish=wish, images=[photo]).job.pk)
    return submitted


def unfinished() -> bool:
    """Tell whether an edit waits or runs."""
    return Job.objects.unfinished().exists()


def count_succeeded() -> int:
    """Return how many edits have a result."""
    return Job.objects.filter(status=JobStatus.SUCCEEDED).count()
