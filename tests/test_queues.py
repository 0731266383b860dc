"""Queues, routes and the beat schedule, and beat itself as a real process without Django."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from qwenedit.celery import app
from qwenedit.embedded import EmbeddedValkey
from tests.waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def test_an_edit_and_its_repair_travel_in_queues_of_their_own() -> None:
    route = app.amqp.router.route
    assert route({}, "jobs.tasks.process_next_job")["queue"].name == "edits"
    assert route({}, "jobs.tasks.sweep")["queue"].name == "housekeeping"


def test_the_most_urgent_queue_is_drained_first() -> None:
    assert list(app.amqp.queues.consume_from) == ["interactive", "edits", "housekeeping"]
    assert app.conf.broker_transport_options["queue_order_strategy"] == "priority"


def test_every_queue_has_a_key_of_its_own() -> None:
    keys = {queue.routing_key for queue in app.amqp.queues.values()}
    assert keys == set(app.amqp.queues), "a key that two queues share would deliver every message twice"


def test_everything_on_the_schedule_is_a_task_and_expires_before_its_next_tick() -> None:
    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] <= entry["schedule"]


def published(connection: redis.Redis) -> str:
    """Return everything that lies in the queues."""
    return "".join("".join(connection.lrange(f"qwenedit:{name}", 0, -1)) for name in app.amqp.queues)


@pytest.mark.processes
def test_beat_publishes_without_loading_django_and_ends_on_sigterm(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("v")
    valkey = EmbeddedValkey(folder / "valkey", folder / "valkey" / "valkey.sock")
    valkey.ensure()
    try:
        with (
            (folder / "imported").open("w") as imported,
            redis.Redis(unix_socket_path=str(valkey.path), decode_responses=True) as connection,
            subprocess.Popen(
                [sys.executable, "-X", "importtime", "-m", "qwenedit.beat"],
                cwd=PROJECT_ROOT,
                env={**os.environ, "VAR_DIR": str(folder)},
                stderr=imported,
            ) as beat,
        ):
            # Everything of that tick: a signal in mid-publishing ends it just as well, but not with 0.
            tasks = {entry["task"] for entry in app.conf.beat_schedule.values() if entry["schedule"] <= 5}
            wait_until(lambda: all(task in published(connection) for task in tasks))
            readings = [""]

            def is_quiet() -> bool:
                readings.append(published(connection))
                return readings[-1] == readings[-2]

            wait_until(is_quiet, every=0.2)
            beat.send_signal(signal.SIGTERM)
            assert beat.wait(20) == 0
            assert "django.db" not in (folder / "imported").read_text()
    finally:
        valkey.release()
