"""What a node's page tells of its work: the last hour's attempts, memory and queue over time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs import node_samples, reports
from jobs.admin.node_chart import sparkline
from jobs.models import Node
from jobs.states import AttemptStatus, JobStatus
from tests.factories import AttemptFactory, JobFactory, NodeFactory

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def ended(node: Node, status: AttemptStatus, *, ago: timedelta, took: float | None = None) -> None:
    """Add an attempt that ended some time ago, having executed for `took` seconds."""
    finished = timezone.now() - ago
    AttemptFactory.create(
        node=node,
        job=JobFactory.create(status=JobStatus.QUEUED),
        status=status,
        executing_at=None if took is None else finished - timedelta(seconds=took),
        finished_at=finished,
    )


def page_of(client: Client, node: Node) -> str:
    """Return the text of the node's page, its white space made plain."""
    answer: Any = client.get(reverse("admin:jobs_node_change", args=[node.pk]))
    return " ".join(answer.text.split()).replace("\xa0", " ")


def test_the_page_tells_how_the_last_hour_went(boss: Client) -> None:
    node = NodeFactory.create()
    for seconds in (2, 4, 90):
        ended(node, AttemptStatus.SUCCEEDED, ago=timedelta(minutes=5), took=seconds)
    ended(node, AttemptStatus.FAILED, ago=timedelta(minutes=59), took=300)
    ended(node, AttemptStatus.LOST, ago=timedelta(minutes=1))
    ended(node, AttemptStatus.SUCCEEDED, ago=timedelta(minutes=61), took=300)
    ended(NodeFactory.create(), AttemptStatus.SUCCEEDED, ago=timedelta(minutes=5), took=300)

    text = page_of(boss, node)

    assert "3 succeeded, 1 failed, 1 lost before they began" in text
    assert "half of the edits took at most 4.0 s to execute" in text


def test_a_node_without_work_has_no_median(db: None) -> None:
    summary = reports.last_hour_of(NodeFactory.create(), timezone.now())

    assert (summary.succeeded, summary.failed, summary.execution) == (0, 0, None)


def test_memory_and_queue_are_drawn_and_the_last_minutes_told_in_figures(boss: Client) -> None:
    node = NodeFactory.create(vram_total=24 << 30)
    now = timezone.now()
    for minutes in range(60):
        node.vram_free, node.queue_length = (1 + minutes % 8) << 30, minutes
        node_samples.record(node, now=now - timedelta(minutes=minutes))

    text = page_of(boss, node)

    assert "now 1.0 GB, 1.0 GB to 8.0 GB in six hours" in text
    assert "now 0, 0 to 59 in six hours" in text
    assert text.count("<svg") - page_of(boss, NodeFactory.create()).count("<svg") == 2
    figures = re.findall(r"GB</td><td>(\d+)</td>", text)
    assert figures == [str(minutes) for minutes in range(10)]


def test_a_node_that_has_said_nothing_for_hours_has_nothing_drawn(boss: Client) -> None:
    node = NodeFactory.create(vram_free=1, queue_length=1)
    node_samples.record(node, now=timezone.now() - timedelta(hours=7))

    assert "in six hours" not in page_of(boss, node)


def test_a_line_breaks_where_the_node_was_silent() -> None:
    minutes = [0, 1, 2, 30, 31]
    points = [(NOON - timedelta(minutes=31 - minute), 2 * (minute // 30)) for minute in minutes]

    path = re.search(r'd="([^"]*)"', sparkline(points, now=NOON))

    assert path is not None
    assert path[1] == "M329 40h0L330 40L331 40M359 0h0L360 0"


def test_the_page_asks_no_more_queries_for_more_samples_and_attempts(boss: Client) -> None:
    node = NodeFactory.create(vram_free=1, queue_length=1)

    def queries_of_page(*, minutes: range) -> int:
        for minute in minutes:
            node_samples.record(node, now=timezone.now() - timedelta(minutes=minute))
            ended(node, AttemptStatus.SUCCEEDED, ago=timedelta(minutes=5), took=1)
        with CaptureQueriesContext(connection) as queries:
            page_of(boss, node)
        return len(queries)

    queries_of_page(minutes=range(1))

    assert queries_of_page(minutes=range(1, 20)) == queries_of_page(minutes=range(0))
