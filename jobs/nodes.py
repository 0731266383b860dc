"""The fleet of ComfyUI nodes: which there are, which answer, and what they said of themselves.

The health gate asks a node right before it is given work. An answer counts for five seconds, a silence
for one, so that a node that comes back is noticed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from celery.signals import worker_init
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.utils import timezone
from redis.exceptions import RedisError

from jobs.comfy.client import ComfyClient
from jobs.comfy.errors import ComfyError
from jobs.models import Node

logger = structlog.get_logger(__name__)

T = TypeVar("T")

HEALTHY_FOR = 5  # seconds an answer counts
UNHEALTHY_FOR = 1  # seconds a silence counts
STALLED_AFTER = timedelta(seconds=20)


@lru_cache(maxsize=256)
def _client(url: str) -> ComfyClient:
    return ComfyClient(url)


def client_of(node: Node) -> ComfyClient:
    """Return the process's client of a node; connections are kept between calls."""
    return _client(node.url)


def is_healthy(node: Node) -> bool:
    """Return whether the node may be given work now: it answers, and it has not stopped executing."""
    known = _cached(lambda: cache.get(_key(node)))
    if known is None:
        known = probe(node)
        _cached(lambda: cache.set(_key(node), known, HEALTHY_FOR if known else UNHEALTHY_FOR))
    return bool(known)


def distrust(node: Node) -> None:
    """Forget that a node answered: it has just failed an attempt, and must not fail every one that is due."""
    _cached(lambda: cache.delete(_key(node)))


def probe(node: Node, *, look_at_queue: bool = False) -> bool:
    """Ask a node how it is, record the answer on its row, and return whether it may be given work.

    `look_at_queue` also asks whether it executes anything: HTTP keeps answering after ComfyUI's execution
    thread has died; then prompts wait and none runs.
    """
    now = timezone.now()
    try:
        stats = client_of(node).system_stats()
        queue = client_of(node).queue(timeout=5) if look_at_queue else None
    except ComfyError as error:
        if node.is_healthy is not False:
            logger.warning("Node does not answer", node=node.name, url=node.shown_url, reason=error.detail)
        Node.objects.filter(pk=node.pk).update(
            is_healthy=False, checked_at=now, stalled_since=None, problem=error.detail[:300]
        )
        return False
    of_queue: dict[str, object] = {}
    if queue is not None:
        node.stalled_since = (node.stalled_since or now) if queue.is_stalled else None
        # Written only by whoever looked: the gate's copy of the row may be older than the last look.
        of_queue = {
            "stalled_since": node.stalled_since,
            "queue_length": len(queue.running) + len(queue.pending),
        }
    stalled = node.stalled_since is not None and now - node.stalled_since >= STALLED_AFTER
    if stalled and node.is_healthy:
        logger.error("Node answers, but executes nothing", node=node.name, url=node.shown_url)
    if not stalled and node.is_healthy is False:
        logger.info("Node answers again", node=node.name, url=node.shown_url)
    Node.objects.filter(pk=node.pk).update(
        is_healthy=not stalled,
        checked_at=now,
        healthy_at=now,
        **of_queue,
        problem=f"Answers, but executes nothing since {node.stalled_since:%H:%M:%S} UTC" if stalled else "",
        version=stats.version[:40],
        device=stats.device[:200],
        vram_total=stats.vram_total,
        vram_free=stats.vram_free,
    )
    return not stalled


def sync_nodes(urls: Sequence[str]) -> list[Node]:
    """Make the rows of the nodes that COMFYUI_URL names, and retire those it no longer names.

    Nodes added in the admin are left alone, and so is one that staff disabled there. A retired node keeps
    its row, for its attempts refer to it, but no longer counts as named by the environment.
    """
    with transaction.atomic():
        retired = Node.objects.filter(from_environment=True).exclude(url__in=urls)
        retired.update(is_enabled=False, from_environment=False)
        for url in urls:
            node, created = Node.objects.get_or_create(
                url=url, defaults={"name": urlsplit(url).netloc.rpartition("@")[2], "from_environment": True}
            )
            if not created and not node.from_environment:
                Node.objects.filter(pk=node.pk).update(is_enabled=True, from_environment=True)
    return list(Node.objects.in_service())


@worker_init.connect
def follow_environment(**_signal: object) -> None:
    """Bring the rows up to date when a worker starts, for installations that start it by itself."""
    try:
        sync_nodes(configured_urls())
    except DatabaseError as error:
        logger.warning("Nodes not brought up to date", reason=str(error))


def configured_urls() -> list[str]:
    """Return the addresses of COMFYUI_URL, or that of the sandbox where none is set."""
    return list(settings.COMFYUI_URLS) or [settings.SANDBOX_COMFYUI_URL]


def _key(node: Node) -> str:
    return f"node:{node.pk}:healthy"


def _cached(operation: Callable[[], T]) -> T | None:
    try:
        return operation()
    except RedisError:  # the gate must work without its cache: it only asks more often
        return None
