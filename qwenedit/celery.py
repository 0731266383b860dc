"""The Celery app: queues, routes, beat schedule, logging.

A message is a wake-up and the database row is the truth, so losing or doubling one is harmless.
Tasks are named here by their text alone: the apps that own them are discovered, not imported.
"""

import logging.config
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenedit.settings")

_exchange = Exchange("qwenedit", type="direct")

app = Celery("qwenedit")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # In order of urgency: with `queue_order_strategy: priority` the first is drained first.
    task_queues=[
        Queue(name, _exchange, routing_key=name) for name in ("interactive", "edits", "housekeeping")
    ],
    task_default_queue="housekeeping",
    task_default_exchange="qwenedit",
    task_default_routing_key="housekeeping",
    task_routes={"jobs.tasks.process_next_job": {"queue": "edits"}},
    # A tick that no worker took before the next one is worthless: it expires instead of piling up.
    beat_schedule={
        "sweep": {"task": "jobs.tasks.sweep", "schedule": 5.0, "options": {"expires": 5}},
        "probe-nodes": {"task": "jobs.tasks.probe_nodes", "schedule": 15.0, "options": {"expires": 15}},
        "purge": {"task": "jobs.tasks.purge", "schedule": 3600.0, "options": {"expires": 3600}},
    },
)
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)


@setup_logging.connect
def configure_logging(**_: Any) -> None:
    """Log as the rest of the project does: a receiver of this signal keeps Celery's own set-up away."""
    logging.config.dictConfig(settings.LOGGING)
