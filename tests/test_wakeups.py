"""Wake-ups as the broker gets them, from whichever app they come."""

import json
from typing import Any

import pytest
import redis
import structlog
from celery import current_app

from botapp.wakeups import wake_orders, wake_outbox
from jobs.wakeups import QUEUE, wake_queue
from payments.wakeups import wake_inbox
from qwenedit import wakeups
from webhooks.wakeups import wake_outbox as wake_webhooks


def published(valkey: redis.Redis, queue: str) -> list[dict[str, Any]]:
    """Return the headers of what lies in a queue, oldest first."""
    return [json.loads(message)["headers"] for message in valkey.lrange(f"qwenedit:{queue}", 0, -1)[::-1]]


def test_every_wake_up_names_its_task_and_what_it_is_about(valkey: redis.Redis) -> None:
    wake_orders()
    wake_inbox(8)
    wake_outbox(in_seconds=5)
    wake_webhooks()
    wake_queue()
    urgent = published(valkey, "interactive")
    assert [(message["task"], message["kwargsrepr"]) for message in urgent] == [
        ("botapp.tasks.submit_orders", "{}"),
        ("payments.tasks.process_notification", "{'notification_id': 8}"),
        ("botapp.tasks.send_due", "{}"),
        ("webhooks.tasks.send_due", "{}"),
    ]
    assert urgent[2]["eta"] is not None
    assert [message["task"] for message in published(valkey, "edits")] == ["jobs.tasks.process_next_job"]


def test_the_log_lines_of_its_work_are_not_taken_for_those_of_whoever_published_it(
    valkey: redis.Redis,
) -> None:
    with structlog.contextvars.bound_contextvars(
        request_id="order-3", order_id=3, update_id=5, user_id=9, task_id="1"
    ):
        wake_queue()
    [message] = published(valkey, "edits")
    assert message["__django_structlog__"] == {"request_id": "order-3"}


def test_a_broker_that_is_down_costs_its_caller_a_line_and_no_error(
    valkey: redis.Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
    wake_queue()
    wake_queue()
    assert caplog.text.count("wake-up not published") == 2


def test_one_wake_up_that_nobody_has_taken_is_enough_for_all_jobs(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "UNDER_WAY_SECONDS", 60)
    wake_queue()
    wake_queue()
    assert len(published(valkey, "edits")) == 1

    QUEUE.take()
    wake_queue()
    assert len(published(valkey, "edits")) == 2
