"""The states of a job and of an attempt, and which may follow which.

                      ┌────────── transient failure ──────────┐
                      ▼                                       │
    submit ──▶ QUEUED ── claim ──▶ RUNNING ── result stored ──┼──▶ SUCCEEDED
                 │                    │ ▲ └── adopt (lease)   │
                 ├── cancel ──────────┴─┼──▶ CANCELLED        │
                 └── permanent failure ─┴──▶ FAILED ◀─────────┘ attempts used up

A final state never changes.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobStatus(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


FINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
ACTIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    # Running to running is adoption: another runner takes over an expired lease.
    JobStatus.RUNNING: frozenset(
        {JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


def sources(target: JobStatus) -> list[JobStatus]:
    """Return the states from which `target` may be reached."""
    return [source for source, targets in TRANSITIONS.items() if target in targets]


class AttemptStatus(models.TextChoices):
    ACTIVE = "active", _("on the node")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    LOST = "lost", _("lost with its worker")
