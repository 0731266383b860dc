"""A node's free memory and queue over time: a row for each minute in which it answered, for two days."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobs.models import Node, NodeSample

KEPT_FOR = timedelta(hours=48)


def record(node: Node, *, now: datetime) -> None:
    """Write down what a probe has just put on the node's row, unless this minute has its sample."""
    if node.vram_free is None or node.queue_length is None:
        return
    sample = NodeSample(
        node=node,
        at=now.replace(second=0, microsecond=0),
        vram_free=node.vram_free,
        queue_length=node.queue_length,
    )
    NodeSample.objects.bulk_create([sample], ignore_conflicts=True)


def purge(*, now: datetime) -> int:
    """Delete what is older than two days; return how many rows that were."""
    return NodeSample.objects.filter(at__lt=now - KEPT_FOR).delete()[0]
