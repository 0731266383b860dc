"""Queues, routes and the beat schedule: what web, worker and beat must agree on.

Tasks are named by their text alone, and nothing here needs Django.
"""

import logging.config
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from kombu import Exchange, Queue

from qwenedit import settings

# In order of urgency: with `queue_order_strategy: priority` the first is drained first.
NAMES = ("interactive", "edits", "housekeeping")
_exchange = Exchange("qwenedit", type="direct")


def configure(app: Celery) -> None:
    """Give `app` the queues, the routes and the schedule."""
    app.conf.update(
        task_queues=[Queue(name, _exchange, routing_key=name) for name in NAMES],
        task_default_exchange=_exchange.name,
        task_default_queue="housekeeping",
        task_default_routing_key="housekeeping",
        task_routes={
            "jobs.tasks.process_next_job": {"queue": "edits"},
            "payments.tasks.process_notification": {"queue": "interactive"},
            "botapp.tasks.send_due": {"queue": "interactive"},
            "botapp.tasks.submit_orders": {"queue": "interactive"},
            "botapp.tasks.collect_album": {"queue": "interactive"},
            "botapp.tasks.refresh_progress": {"queue": "interactive"},
            "webhooks.tasks.send_due": {"queue": "interactive"},
        },
        beat_schedule={
            "sweep": _every(5, "jobs.tasks.sweep"),
            "probe-nodes": _every(15, "jobs.tasks.probe_nodes"),
            "purge": _every(3600, "jobs.tasks.purge"),
            "check-payments": _every(10, "payments.tasks.check_payments"),
            "check-refunds": _every(30, "payments.tasks.check_refunds"),
            "sweep-notifications": _every(10, "payments.tasks.sweep_notifications"),
            "weekly-bonus": _every(60, "payments.tasks.issue_weekly_bonus"),
            "reconcile": _every(24 * 3600, "payments.tasks.reconcile"),
            "send-due": _every(3, "botapp.tasks.send_due"),
            "refresh-progress": _every(3, "botapp.tasks.refresh_progress"),
            "collect-albums": _every(5, "botapp.tasks.collect_albums"),
            "submit-orders": _every(5, "botapp.tasks.submit_orders"),
            "sweep-updates": _every(5, "botapp.tasks.sweep_updates"),
            "feed-notices": _every(5, "botapp.tasks.feed_notices"),
            "feed-broadcasts": _every(10, "botapp.tasks.feed_broadcasts"),
            "send-bulk": _every(5, "botapp.tasks.send_bulk"),
            "purge-bot": _every(3600, "botapp.tasks.purge"),
            "sweep-webhooks": _every(5, "webhooks.tasks.sweep"),
            "purge-webhooks": _every(3600, "webhooks.tasks.purge"),
        },
    )


@setup_logging.connect
def configure_logging(**_: Any) -> None:
    """Log as the rest of the project does: a receiver of this signal keeps Celery's own set-up away."""
    logging.config.dictConfig(settings.LOGGING)


def _every(seconds: int, task: str) -> dict[str, Any]:
    # A tick that no worker took before the next one is worthless: it expires instead of piling up.
    return {"task": task, "schedule": float(seconds), "options": {"expires": seconds}}
