"""Deleting what a person gave us and got from us: pictures, their own words, traces of failures.

Jobs themselves stay, with their prices: they are what the ledger's entries are about. May be repeated, and
is to be repeated after a crash.
"""

from __future__ import annotations

from typing import ClassVar

import structlog
from django.utils import timezone

from jobs import pictures
from jobs.models import Attempt, Job, JobImage
from jobs.services import cancel_job
from jobs.signals import edits_erased
from jobs.states import FINAL
from qwenedit.errors import DomainError
from qwenedit.users.models import User

logger = structlog.get_logger(__name__)


class NotAllErased(DomainError):
    """Some files could not be deleted now."""

    code: ClassVar[str] = "not_all_erased"
    status: ClassVar[int] = 503
    retryable: ClassVar[bool] = True


def erase(user: User) -> int:
    """Cancel a user's unfinished edits, points back, and delete all pictures; return how many pictures went.

    Raises NotAllErased where the storage kept some: everything else is gone then.
    """
    for job in Job.objects.filter(user=user).unfinished():
        cancel_job(job=job)
    now = timezone.now()
    User.objects.filter(pk=user.pk).update(erased_at=now)
    # What is submitted meanwhile is new, and keeps its pictures.
    finished = Job.objects.filter(user=user, status__in=FINAL, finished_at__lte=now)
    finished.filter(preset=None).update(prompt="")
    finished.update(error_message="", webhook_url="")
    Attempt.objects.filter(job__in=finished).update(error_detail="")
    edits_erased.send(sender=User, user=user)
    images = JobImage.objects.filter(job__in=finished)
    count = pictures.purge(images)
    logger.info("Pictures of a user erased", user_id=user.pk, pictures=count)
    if images.exists():
        raise NotAllErased("Some pictures can not be deleted now. Please try again in a few minutes.")
    return count
