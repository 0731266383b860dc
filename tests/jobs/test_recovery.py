"""What the beat repairs."""

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from django.conf import settings as django_settings
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import OperationalError
from django.utils import timezone

from jobs import nodes, pictures, recovery, scheduler
from jobs.models import Attempt, Job, JobImage, Node
from jobs.services import cancel_job
from jobs.states import AttemptStatus, JobStatus
from jobs.wakeups import QUEUE, wake_queue
from tests.factories import NodeFactory
from tests.jobs.conftest import Submit
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def wake_ups(valkey: redis.Redis) -> int:
    """Return the wake-ups that wait in the broker."""
    return int(valkey.llen("qwenedit:edits"))


def test_the_sweep_wakes_workers_for_jobs_whose_message_was_lost(submit: Submit, valkey: redis.Redis) -> None:
    submit()
    valkey.flushall()

    assert recovery.sweep() == 1
    assert wake_ups(valkey) == 1


def test_the_sweep_wakes_workers_for_jobs_whose_runner_is_gone(
    submit: Submit, run: Callable[[], object], valkey: redis.Redis
) -> None:
    submit()
    scheduler.claim_next()
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    valkey.flushall()

    assert recovery.sweep() == 1
    assert wake_ups(valkey) == 1


def test_an_idle_system_is_left_alone(db: None, valkey: redis.Redis) -> None:
    assert recovery.sweep() == 0
    assert wake_ups(valkey) == 0


def test_the_attempt_of_a_cancelled_job_whose_runner_is_gone_is_taken_off_its_node(
    submit: Submit, run: Callable[[], object]
) -> None:
    job = submit()
    scheduler.claim_next()
    cancel_job(job=job)
    assert Attempt.objects.get().status == AttemptStatus.ACTIVE

    recovery.sweep()
    assert Attempt.objects.get().status == AttemptStatus.ACTIVE, "a living runner does it by itself"
    Job.objects.update(finished_at=timezone.now() - timedelta(minutes=1))
    recovery.sweep()

    assert Attempt.objects.get().status == AttemptStatus.CANCELLED


def test_a_node_that_comes_back_wakes_the_queue(sandbox: object, valkey: redis.Redis) -> None:
    NodeFactory.create(url=sandbox.url, is_healthy=False)

    recovery.probe_nodes()

    assert wake_ups(valkey) == 1


def test_nodes_are_probed_side_by_side(each_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        NodeFactory.create()
    all_asked = threading.Barrier(3)
    record = nodes.probe

    def probe(node: Node, *, look_at_queue: bool) -> bool:
        all_asked.wait(30)  # one after another, the first would wait here in vain
        return record(node, look_at_queue=look_at_queue)

    monkeypatch.setattr(nodes, "probe", probe)

    recovery.probe_nodes()

    assert [node.is_healthy for node in Node.objects.all()] == [False] * 3


def test_a_probe_that_breaks_is_heard_of_once_all_nodes_were_asked(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, *_others = [NodeFactory.create() for _ in range(recovery.PROBED_AT_ONCE + 2)]
    asked = []

    def probe(node: Node, *, look_at_queue: bool) -> bool:
        asked.append(node.pk)
        if node == broken:
            raise OperationalError("the database is gone")
        return True

    monkeypatch.setattr(nodes, "probe", probe)

    with pytest.raises(OperationalError):
        recovery.probe_nodes()

    assert sorted(asked) == sorted(Node.objects.values_list("pk", flat=True))


@pytest.mark.parametrize(("answer", "patience"), [("refuses", 1), ("is silent", 5)])
def test_a_broker_that_is_away_does_not_keep_the_submission_waiting(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, answer: str, patience: float
) -> None:
    from qwenedit.celery import app

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if answer == "refuses":
            listener.close()
        monkeypatch.setattr(app.conf, "broker_write_url", f"redis://127.0.0.1:{port}/0")
        began = time.monotonic()
        job = submit()
        assert time.monotonic() - began < patience + 30
        spent = []
        while len(spent) < 3 and not any(seconds < patience for seconds in spent):
            began = time.monotonic()
            wake_queue()  # what the submission did as well, by itself; one that failed leaves no mark
            spent.append(time.monotonic() - began)

    assert job.status == JobStatus.QUEUED
    assert min(spent) < patience
    assert cache.get(QUEUE._flag) is None


def test_wake_ups_are_published_again_once_the_broker_is_back(valkey: redis.Redis) -> None:
    wake_queue()
    for name in ("NORMAL", "PUBSUB"):
        valkey.execute_command("CLIENT", "KILL", "TYPE", name, "SKIPME", "yes")

    def woken() -> bool:
        wake_queue()
        return wake_ups(valkey) > 1

    wait_until(woken)


def test_wake_ups_are_published_before_slow_nodes_are_asked_anything(
    submit: Submit, run: Callable[[], object], valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = submit()
    scheduler.claim_next()
    cancel_job(job=cancelled)
    Job.objects.update(finished_at=timezone.now() - timedelta(minutes=1))
    submit()
    valkey.flushall()
    waiting = []
    monkeypatch.setattr(recovery.runner, "leave", lambda _attempt: waiting.append(wake_ups(valkey)))

    recovery.sweep()

    assert waiting == [1]


def test_pictures_past_their_time_are_deleted_with_their_files(
    submit: Submit, run: Callable[[], object]
) -> None:
    old, young = submit(), submit()
    run(), run()
    Job.objects.filter(pk=old.pk).update(
        finished_at=timezone.now() - timedelta(days=django_settings.RESULT_RETENTION_DAYS, minutes=1)
    )
    names = list(old.images.values_list("file", flat=True))

    recovery.purge()

    assert not old.images.exists()
    assert not any(default_storage.exists(name) for name in names)
    assert young.images.count() == 2
    assert all(default_storage.exists(image.file.name) for image in young.images.all())


def test_files_that_no_row_names_are_deleted_once_they_are_old(submit: Submit) -> None:
    now = timezone.now()
    kept = submit().images.get().file.name
    fresh = default_storage.save(f"inputs/{now:%Y/%m/%d}/fresh.jpg", ContentFile(b"x"))
    orphan = default_storage.save(f"inputs/{now:%Y/%m/%d}/orphan.jpg", ContentFile(b"x"))
    two_hours_ago = (now - timedelta(hours=2)).timestamp()
    for name in (kept, orphan):
        os.utime(default_storage.path(name), (two_hours_ago, two_hours_ago))

    assert pictures.delete_orphans(now=now) == 1

    assert default_storage.exists(kept)
    assert default_storage.exists(fresh)
    assert not default_storage.exists(orphan)
    assert JobImage.objects.count() == 1
