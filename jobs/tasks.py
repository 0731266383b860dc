"""Shells around services. Every task may be doubled or lost without harm; unknown arguments are ignored."""

from typing import Any

from celery import Task, shared_task

from jobs import recovery, runner
from jobs.scheduler import Idle
from jobs.wakeups import QUEUE, closed_gate_countdown, end_retries, may_retry

MOST_RETRIES = 20  # after that, the sweep alone asks


@shared_task(bind=True, max_retries=None)
def process_next_job(self: Task[..., None], /, **_ignored: Any) -> None:
    """Run jobs, one after another, until there is none or no node to run it on."""
    QUEUE.take()
    outcome = runner.run_all()
    if outcome is Idle.NO_HEALTHY_NODE:
        if self.request.retries < MOST_RETRIES and may_retry(self.request.retries):
            raise self.retry(countdown=closed_gate_countdown(self.request.retries))
        return
    if self.request.retries:
        end_retries()


@shared_task
def sweep(**_ignored: Any) -> None:
    """Repair what was lost."""
    recovery.sweep()


@shared_task
def probe_nodes(**_ignored: Any) -> None:
    """Ask the nodes how they are."""
    recovery.probe_nodes()


@shared_task
def purge(**_ignored: Any) -> None:
    """Delete what nobody may keep."""
    recovery.purge()
