"""The bot's tasks as the beat calls them, and what the metrics say of its work."""

from datetime import timedelta

import pytest
from celery import current_app
from django.test import Client
from django.utils import timezone

from botapp import tasks
from botapp.models import Delivery, DeliveryStatus, IncomingUpdate, Lane
from qwenedit.celery import app
from tests.factories import DeliveryFactory, IncomingUpdateFactory

SCHEDULED = sorted(
    entry["task"] for entry in app.conf.beat_schedule.values() if entry["task"].startswith("botapp.")
)


def sample(text: str, name: str) -> float:
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[-1])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", SCHEDULED)
def test_every_tick_finds_nothing_to_do_where_there_is_nothing(name: str) -> None:
    current_app.tasks[name](unknown="an argument of another version")


def test_whatever_is_urgent_travels_in_the_urgent_queue() -> None:
    urgent = {"send_due", "submit_orders", "collect_album", "refresh_progress"}
    names = [name for name in vars(tasks) if f"botapp.tasks.{name}" in app.tasks]

    found = {name for name in names if queue_of(name) == "interactive"}

    assert found == urgent
    assert {queue_of(name) for name in set(names) - urgent} == {"housekeeping"}


def queue_of(name: str) -> str:
    return str(app.amqp.router.route({}, f"botapp.tasks.{name}")["queue"].name)


@pytest.mark.django_db(transaction=True)
def test_what_is_old_is_forgotten() -> None:
    now = timezone.now()
    for days in (1, 40):
        ended = now - timedelta(days=days)
        DeliveryFactory.create(status=DeliveryStatus.SENT, finished_at=ended)
        IncomingUpdateFactory.create(received_at=ended, processed_at=ended)
        IncomingUpdateFactory.create(received_at=ended)

    tasks.purge()

    assert Delivery.objects.count() == 1
    assert IncomingUpdate.objects.count() == 3


@pytest.mark.django_db
def test_the_metrics_tell_what_waits(client: Client) -> None:
    now = timezone.now()
    DeliveryFactory.create(lane=Lane.RESULTS, next_try_at=now - timedelta(seconds=50))
    DeliveryFactory.create(lane=Lane.RESULTS, next_try_at=now + timedelta(seconds=50))
    DeliveryFactory.create(lane=Lane.BULK, status=DeliveryStatus.SENT, finished_at=now)
    IncomingUpdateFactory.create()

    text = client.get("/metrics").text

    assert sample(text, 'qwenedit_open_deliveries{lane="results"}') == 2
    assert sample(text, 'qwenedit_open_deliveries{lane="bulk"}') == 0
    assert 50 <= sample(text, 'qwenedit_oldest_due_delivery_seconds{lane="results"}') < 80
    assert sample(text, 'qwenedit_oldest_due_delivery_seconds{lane="money"}') == 0
    assert sample(text, "qwenedit_open_updates") == 1
