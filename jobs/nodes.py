"""The fleet of ComfyUI nodes: which there are, which answer, and what they said of themselves.

The health gate asks a node right before it is given work. An answer counts for five seconds, a silence
for one, so that a node that comes back is noticed at once. A process asks its own memory first, for a second:
a busy worker troubles neither the cache nor the node with every claim.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from datetime import timedelta
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from celery.signals import worker_init
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from redis.exceptions import RedisError

from jobs import breaker, node_events, node_samples
from jobs.capacity import wanted_threads
from jobs.comfy.answers import NodeStats, QueueState
from jobs.comfy.client import ComfyClient
from jobs.comfy.errors import ComfyError
from jobs.models import Attempt, Node, NodeEvent
from jobs.states import AttemptStatus

logger = structlog.get_logger(__name__)

T = TypeVar("T")

HEALTHY_FOR = 5  # seconds an answer counts
UNHEALTHY_FOR = 1  # seconds a silence counts
LONGEST_PROBE = 5  # seconds, after which another process may ask a silent node
REMEMBERED_FOR = 1.0  # seconds a process relies on its own memory
STALLED_AFTER = timedelta(seconds=20)
OVERDUE_AFTER = timedelta(seconds=60)
ANSWERED = [
    "is_healthy",
    "checked_at",
    "healthy_at",
    "stalled_since",
    "queue_length",
    "problem",
    "version",
    "device",
    "vram_total",
    "vram_free",
    "tripped_until",
]


class _Memo:
    """What this process knows of nodes; every entry is forgotten after REMEMBERED_FOR."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, bool]] = {}

    def get(self, key: str) -> bool | None:
        """Return what was put, or None where nothing was or it is too old."""
        with self._lock:
            until, known = self._known.get(key, (0.0, False))
        return known if time.monotonic() < until else None

    def put(self, key: str, *, known: bool) -> None:
        """Remember."""
        with self._lock:
            self._known[key] = (time.monotonic() + REMEMBERED_FOR, known)

    def forget_all(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()


_memo = _Memo()


def forget_all() -> None:
    """Forget what this process knows of all nodes."""
    _memo.forget_all()


@lru_cache(maxsize=256)
def _client(url: str) -> ComfyClient:
    return ComfyClient(url)


def client_of(node: Node) -> ComfyClient:
    """Return the process's client of a node; connections are kept between calls."""
    return _client(node.url)


def known_health(node: Node, *, answer: bool | None = None) -> bool | None:
    """Return whether the node may be given work, as far as is known without asking; None where it is not.

    `answer` is what it has just said. The row is newer than that, and than what this process remembers:
    another one may have paused the node since, or found it silent.
    """
    if breaker.is_paused(node, timezone.now()):
        return False
    if answer is not None:
        return answer and node.is_healthy is not False
    known = _memo.get(_key(node))
    return None if known and node.is_healthy is False else known


def is_healthy(node: Node) -> bool:
    """Return whether the node may be given work now: it answers, executes, and is not paused."""
    known = known_health(node)
    if known is None:
        known = _ask_once(node)
        _memo.put(_key(node), known=known)
    return known


def _ask_once(node: Node) -> bool:
    """Return what is known of a node, and ask it where nothing is; of a silent one, one process at a time."""
    known = _cached(lambda: cache.get(_key(node)))
    if known is not None:
        return bool(known)
    asking = f"{_key(node)}:asking"
    if node.is_healthy is False and _cached(lambda: cache.add(asking, 1, LONGEST_PROBE)) is False:
        return False
    answers = probe(node)
    _cached(lambda: cache.delete(asking))
    return answers


def another_works(node: Node) -> bool:
    """Return whether work may go to a node other than this one, as far as is known."""
    others = Node.objects.in_service().exclude(pk=node.pk).exclude(is_healthy=False)
    return others.exclude(tripped_until__gt=timezone.now()).exists()


def lock_all() -> None:
    """Lock every node in the order in which claims do, so that none waits for the other in a circle."""
    list(Node.objects.select_for_update().order_by("pk").values_list("pk", flat=True))


def distrust(node: Node, reason: str) -> None:
    """Record that a node went silent under an attempt: it gets no work before it has answered a probe."""
    _record_silence(node.pk, reason, is_probe=False)
    _remember(node, answers=False)


def probe(node: Node, *, look_at_queue: bool = False) -> bool:
    """Ask a node how it is, record the answer on its row, and return whether it may be given work.

    `look_at_queue` also asks whether it executes anything: HTTP keeps answering after ComfyUI's execution
    thread has died; then prompts wait and none runs. And it takes off the node what nobody waits for.
    """
    try:
        stats = client_of(node).system_stats()
        queue = client_of(node).queue(timeout=5) if look_at_queue else None
    except ComfyError as error:
        _record_silence(node.pk, error.detail)
        queue, answers = None, False
    else:
        answers = _record_answer(node.pk, stats, queue)
    _remember(node, answers=answers)
    if answers and queue is not None:
        _take_off_forsaken(node, queue)
    return answers


def overdue(running: Sequence[str]) -> set[str]:
    """Return which of the prompts that a node says it runs should have ended long ago.

    Those of attempts that are over for us, and that had had all the time of an edit OVERDUE_AFTER ago: a node
    that loads a model is deaf to our cancelling, but not for so long. ComfyUI keeps a prompt among those that
    run if its thread died within it.
    """
    began = Coalesce("executing_at", "submitted_at", "created_at")
    limit = timezone.now() - timedelta(seconds=settings.COMFYUI_TIMEOUT) - OVERDUE_AFTER
    over = _over(running).annotate(began=began).filter(began__lt=limit)
    return {str(pk) for pk in over.values_list("pk", flat=True)}


def _take_off_forsaken(node: Node, queue: QueueState) -> None:
    """Cancel the prompts of attempts that are over: the node was silent when they ended, or deaf just then.

    Not where none runs: what waits on a node that executes nothing is how that is seen.
    """
    if not queue.running:
        return
    with suppress(ComfyError):  # the next probe tries again
        for attempt in _over([*queue.running, *queue.pending]).exclude(status=AttemptStatus.SUCCEEDED):
            if client_of(node).cancel(str(attempt.pk)):
                logger.info(
                    "Prompt that nobody waits for taken off its node", node=node.name, job_id=attempt.job_id
                )


def _over(prompts: Sequence[str]) -> QuerySet[Attempt]:
    """Return those of our attempts among the prompts of a node that have ended for us."""
    known = []
    for prompt_id in prompts:
        with suppress(ValueError):  # somebody else's
            known.append(UUID(prompt_id))
    attempts = Attempt.objects.filter(pk__in=known) if known else Attempt.objects.none()
    return attempts.exclude(status=AttemptStatus.ACTIVE)


def _remember(node: Node, *, answers: bool) -> None:
    _memo.put(_key(node), known=answers)
    _cached(lambda: cache.set(_key(node), answers, HEALTHY_FOR if answers else UNHEALTHY_FOR))


@transaction.atomic
def _record_silence(pk: int, reason: str, *, is_probe: bool = True) -> None:
    row = Node.objects.select_for_update().filter(pk=pk).first()
    if row is None:
        return
    is_news = row.is_healthy is not False or row.stalled_since is not None
    row.is_healthy, row.stalled_since, row.problem = False, None, reason[:300]
    if is_probe:
        row.checked_at = timezone.now()
    row.save(update_fields=["is_healthy", "checked_at", "stalled_since", "problem"])
    if is_news:
        node_events.record(row, NodeEvent.Kind.SILENT, reason)
        logger.warning("Node does not answer", node=row.name, url=row.shown_url, reason=reason)


@transaction.atomic
def _record_answer(pk: int, stats: NodeStats, queue: QueueState | None) -> bool:
    # Read anew: what the caller holds may be older than the last look at the queue.
    before = Node.objects.select_for_update().filter(pk=pk).first()
    if before is None:
        return False
    row, now = copy(before), timezone.now()
    if queue is not None:
        stands_still = queue.is_stalled(overdue=overdue(queue.running))
        row.stalled_since = (row.stalled_since or now) if stands_still else None
        row.queue_length = len(queue.running) + len(queue.pending)
    stalled = row.stalled_since is not None and now - row.stalled_since >= STALLED_AFTER
    row.is_healthy, row.checked_at, row.healthy_at = not stalled, now, now
    row.problem = f"Answers, but executes nothing since {row.stalled_since:%H:%M:%S} UTC" if stalled else ""
    row.version, row.device = stats.version[:40], stats.device[:200]
    row.vram_total, row.vram_free = stats.vram_total, stats.vram_free
    was_down = before.is_healthy is False and _was_probed_in_pause(before)
    if was_down and not stalled and breaker.is_paused(row, now):
        row.tripped_until = now  # a restart cures much: the trial need not wait
    row.save(update_fields=ANSWERED)
    _record_change(before, row)
    if queue is not None:
        node_samples.record(row, now=now)
    return not stalled


def _was_probed_in_pause(node: Node) -> bool:
    """Return whether a probe has looked since the pause began: what failed attempts say came before."""
    return node.checked_at is not None and node.tripped_at is not None and node.checked_at > node.tripped_at


def _record_change(before: Node, row: Node) -> None:
    if before.version and before.version != row.version:
        node_events.record(row, NodeEvent.Kind.VERSION, f"{before.version} → {row.version}")
    if before.is_healthy == row.is_healthy:
        return
    if not row.is_healthy:
        node_events.record(row, NodeEvent.Kind.STALLED, row.problem)
        logger.error("Node answers, but executes nothing", node=row.name, url=row.shown_url)
        return
    node_events.record(row, NodeEvent.Kind.EXECUTES if before.stalled_since else NodeEvent.Kind.ANSWERS)
    if before.is_healthy is False:
        logger.info("Node answers again", node=row.name, url=row.shown_url)


def sync_nodes(urls: Sequence[str]) -> list[Node]:
    """Make the rows of the nodes that COMFYUI_URL names, and retire those it no longer names.

    Nodes added in the admin are left alone, and so is one that staff disabled there. A retired node keeps
    its row, for its attempts refer to it, but no longer counts as named by the environment.
    """
    with transaction.atomic():
        lock_all()
        for node in Node.objects.filter(from_environment=True).exclude(url__in=urls):
            _follow_environment(node, is_named=False)
        for url in urls:
            node, created = Node.objects.get_or_create(
                url=url, defaults={"name": urlsplit(url).netloc.rpartition("@")[2], "from_environment": True}
            )
            if not created and not node.from_environment:
                _follow_environment(node, is_named=True)
    return list(Node.objects.in_service())


def _follow_environment(node: Node, *, is_named: bool) -> None:
    Node.objects.filter(pk=node.pk).update(is_enabled=is_named, from_environment=is_named)
    if node.is_enabled != is_named:
        node_events.record_settings(node, is_enabled=is_named)


@worker_init.connect
def follow_environment(**_signal: object) -> None:
    """Bring the rows up to date when a worker starts, for installations that start it by itself."""
    try:
        sync_nodes(configured_urls())
        needed = wanted_threads()
    except DatabaseError as error:
        logger.warning("Nodes not brought up to date", reason=str(error))
        return
    if needed is not None:
        logger.warning(
            "One worker can not follow all attempts of the nodes",
            threads=settings.WORKER_THREADS,
            needed=needed,
        )


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
