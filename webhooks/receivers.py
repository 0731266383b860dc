"""What is owed for the news of edits: written in the transaction that sends the news. Connected in `apps`."""

from __future__ import annotations

from jobs.models import Job
from jobs.signals import Receiver
from qwenedit.lib.compiled import Compiled
from qwenedit.users.models import User
from webhooks import outbox
from webhooks.models import Delivery, Endpoint, JobUrlSecret
from webhooks.payloads import job_data, payload

_endpoints = Compiled(lambda user: Endpoint.objects.enabled().filter(user=user))


def job_finished(*, job: Job, **_signal: object) -> Receiver:
    """Owe the news to the owner's endpoints and to the edit's own address.

    Costs whoever has neither one look at an index. An address that is both is told once, as an endpoint.
    """
    enabled = yield _endpoints.of(job.user_id)
    event = f"job.{job.status}"
    endpoints = [row for row in enabled if row.hears(event)]
    own_url = "" if job.webhook_url in {row.url for row in endpoints} else job.webhook_url
    if not endpoints and not own_url:
        return
    # Whoever ended it may hold a copy from before it ran.
    now = Job.objects.select_related("preset").get(pk=job.pk)
    body = payload(event, job_data(now), at=now.finished_at or now.created_at)
    outbox.owe(user_id=job.user_id, event=event, payload=body, endpoints=endpoints, url=own_url)


def edits_erased(*, user: User, **_signal: object) -> None:
    """Forget somebody's addresses, secrets, and everything they were told: it holds their words."""
    Delivery.objects.filter(user=user).delete()
    Endpoint.objects.filter(user=user).delete()
    JobUrlSecret.objects.filter(user=user).delete()
