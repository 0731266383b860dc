"""The history of a node: a row whenever its state changes, kept for thirty days."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobs.models import Node, NodeEvent

KEPT_FOR = timedelta(days=30)
LONGEST_DETAIL = 300


def record(node: Node, kind: NodeEvent.Kind, detail: str = "") -> None:
    """Write down that a node's state changed, with the memory and the queue its row tells of."""
    NodeEvent.objects.create(
        node=node,
        kind=kind,
        detail=detail[:LONGEST_DETAIL],
        vram_free=node.vram_free,
        queue_length=node.queue_length,
    )


def record_settings(node: Node, *, is_enabled: bool | None = None, is_draining: bool | None = None) -> None:
    """Write down what was set on a node; None where it stayed as it was."""
    if is_enabled is not None:
        record(node, NodeEvent.Kind.ENABLED if is_enabled else NodeEvent.Kind.DISABLED)
    if is_draining is not None:
        record(node, NodeEvent.Kind.DRAINED if is_draining else NodeEvent.Kind.RESUMED)


def purge(*, now: datetime) -> int:
    """Delete what is older than thirty days; return how many rows that were."""
    return NodeEvent.objects.filter(at__lt=now - KEPT_FOR).delete()[0]
