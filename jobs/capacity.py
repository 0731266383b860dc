"""Whether a worker has a thread for every attempt that the nodes may hold."""

from __future__ import annotations

from django.conf import settings

from jobs.models import Node

# A worker always has threads left for what is not an attempt: deliveries, and sweeps.
THREADS_FOR_OTHERS = 2


def wanted_threads(*, nodes: int | None = None) -> int | None:
    """Return the least WORKER_THREADS with which one worker follows all attempts; None where it has them.

    `nodes` is how many there are: the enabled ones of the database where it is not given. Other workers
    are not known of.
    """
    count = Node.objects.filter(is_enabled=True).count() if nodes is None else nodes
    needed: int = max(1, count) * settings.COMFYUI_NODE_DEPTH + THREADS_FOR_OTHERS
    return needed if needed > settings.WORKER_THREADS else None
