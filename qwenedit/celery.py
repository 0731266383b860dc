"""The Celery app. A message is a wake-up and the row is the truth: losing or doubling one is harmless."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import celeryd_after_setup, worker_init, worker_ready
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu.transport.redis import Channel

from qwenedit import queues, settings
from qwenedit.lib.garbage import pass_over_what_stays

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenedit.settings")

app = Celery("qwenedit")
app.config_from_object("django.conf:settings", namespace="CELERY")
queues.configure(app)
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@worker_init.connect
def give_way(**_: Any) -> None:
    """Let people who wait for an answer go first: decoding pictures would take the processor from them."""
    if hasattr(os, "nice"):
        os.nice(settings.WORKER_NICENESS)


@worker_init.connect
def keep_no_messages(**_: Any) -> None:
    """Let messages go with their connection: to give them back to a broker that is gone ends the worker."""
    Channel.do_restore = False


@celeryd_after_setup.connect
def quiet_connection_loss(**_: Any) -> None:
    """Silence advice to cancel tasks with the broker: an attempt goes on, and its double finds no work."""
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, message=r"\s*In Celery 5\.1")


@worker_ready.connect
def pass_over_modules(**_: Any) -> None:
    """Spare the garbage collector all that the worker has loaded."""
    pass_over_what_stays()
