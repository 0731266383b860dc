"""What is kept of a node's memory and queue over time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from jobs import node_samples, nodes, recovery
from jobs.models import Node, NodeSample
from tests.factories import NodeFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def test_a_probe_leaves_a_sample_of_memory_and_queue(node: Node) -> None:
    assert nodes.probe(node, look_at_queue=True)

    sample = node.samples.get()
    node.refresh_from_db()
    assert (sample.vram_free, sample.queue_length) == (node.vram_free, 0)
    assert (sample.at.second, sample.at.microsecond) == (0, 0)


def test_a_question_before_a_claim_leaves_none(node: Node) -> None:
    Node.objects.update(queue_length=7)  # of the last look at the queue, whenever that was

    assert nodes.is_healthy(node)

    assert not NodeSample.objects.exists()


def test_a_silent_node_leaves_a_gap() -> None:
    node = NodeFactory.create(url="http://127.0.0.1:1", vram_free=1, queue_length=1)

    assert not nodes.probe(node, look_at_queue=True)

    assert not NodeSample.objects.exists()


def test_a_minute_has_one_sample_of_each_node_however_often_it_is_probed() -> None:
    one, other = (NodeFactory.create(vram_free=5 << 40, queue_length=queue) for queue in (1, 2))

    for seconds in (0, 15, 59.9, 60):
        for node in (one, other):
            node_samples.record(node, now=NOON + timedelta(seconds=seconds))

    assert [sample.at for sample in one.samples.all()] == [NOON + timedelta(minutes=1), NOON]
    assert list(other.samples.values_list("vram_free", "queue_length")) == [(5 << 40, 2)] * 2


def test_samples_are_kept_for_two_days() -> None:
    node = NodeFactory.create(vram_free=1, queue_length=1)
    now = timezone.now()
    for age in (timedelta(hours=47), timedelta(hours=48, minutes=1)):
        node_samples.record(node, now=now - age)

    recovery.purge()

    assert node.samples.get().at > now - timedelta(hours=48)
