"""What Celery's workers do for the bot, done here and now, one step at a time."""

from datetime import timedelta

import redis
from django.conf import settings
from django.utils import timezone

from botapp.models import Order, OrderStatus
from botapp.orders import progress, submitting
from botapp.outbox import sending
from botapp.outbox.pace import PREFIX
from jobs.models import Job
from jobs.states import JobStatus
from tests.runners import run_next


class Workers:
    """The steps of the workers, each long after the one before; a test takes those it needs."""

    def __init__(self) -> None:
        self._pace = redis.Redis.from_url(settings.CACHE_URL)
        self._passed = timedelta(0)

    def place(self) -> None:
        """Make jobs of the orders that were accepted."""
        for pk in (
            Order.objects.filter(status=OrderStatus.ACCEPTED).order_by("pk").values_list("pk", flat=True)
        ):
            submitting.submit(pk)

    def edit(self) -> None:
        """Run what is queued to its end, retries included."""
        while Job.objects.filter(status=JobStatus.QUEUED).exists():
            Job.objects.filter(next_attempt_at__gt=timezone.now()).update(next_attempt_at=timezone.now())
            run_next()

    def send(self) -> None:
        """Send what the outbox owes."""
        self.pass_time()
        sending.send_due()

    def finish(self) -> None:
        """Take every step."""
        self.place()
        self.edit()
        self.send()

    def refresh(self) -> int:
        """Show how far the edits are, three seconds later."""
        self.pass_time()
        self._passed += progress.AT_LEAST
        return progress.refresh(timezone.now() + self._passed)

    def pass_time(self) -> None:
        """Let the slots for messages pass that were taken so far; a pause that Telegram wished for stays."""
        self._pace.delete(f"{PREFIX}all", *self._pace.keys(f"{PREFIX}chat:*"))

    def pass_pauses(self) -> None:
        """Let everything pass that Telegram has asked to wait for."""
        self._pace.flushdb()

    def close(self) -> None:
        """Leave no connection open."""
        self._pace.close()
