"""What tests of jobs share: submitting one as a user does, and running what is queued as a worker does."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from jobs.models import Job, Node
from jobs.scheduler import Claim, Idle
from jobs.services import submit_job
from jobs.wishes import Wish
from qwenedit.users.models import User
from tests.runners import run_next

Submit = Callable[..., Job]


@pytest.fixture(autouse=True)
def _empty_storage() -> None:
    shutil.rmtree(django_settings.MEDIA_ROOT, ignore_errors=True)


@pytest.fixture
def submit(alice: User, sample_photo: bytes) -> Submit:
    """Submit alice's photo (or another's: `user=`) with a prompt, and return the job."""

    def submit(prompt: str = "make it a pencil sketch", *, photos: int = 1, **options: Any) -> Job:
        user = options.pop("user", alice)
        wish = Wish.parse(prompt=prompt, seed=options.pop("seed", None))
        return submit_job(user=user, wish=wish, images=[sample_photo] * photos, **options).job

    return submit


@pytest.fixture
def run(node: Node) -> Callable[[], Claim | Idle]:
    """Run the next job to its end on the sandbox's node, as a worker's thread does."""

    def run() -> Claim | Idle:
        # A retry that waits for its time is due at once: the waiting itself is the scheduler's, tested there.
        Job.objects.filter(next_attempt_at__gt=timezone.now()).update(next_attempt_at=timezone.now())
        return run_next()

    return run
