"""Keeping a lease while its attempt waits: for a slow node, a long transfer, a database that restarts.

The renewing has a thread and a database connection of its own, so that nothing the attempt waits for lets
the lease run out. Knows nothing of nodes.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import structlog
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from jobs import scheduler
from jobs.models import StaleState
from jobs.services import Lease

logger = structlog.get_logger(__name__)

RENEW_EVERY = 2.0  # seconds
CERTAIN_FOR = 1.0  # seconds after it was taken or renewed


class LeaseKeeper:
    """Renews `lease` for the length of a `with` block, but no longer than `longest` seconds.

    A runner that has not ended by then never will: its job is anybody's to adopt.
    """

    def __init__(self, lease: Lease, *, longest: float) -> None:
        self.is_held = True
        self.lease = lease
        self._confirmed_at = time.monotonic()  # the lease was taken right before
        self._give_up_at = time.monotonic() + longest
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None  # a short attempt needs none

    def start(self) -> None:
        """Begin to renew. Raises RuntimeError where the system has no more threads."""
        thread = threading.Thread(target=self._keep, name=f"lease of job {self.lease.job_id}", daemon=True)
        thread.start()
        self._thread = thread

    def check(self) -> None:
        """Raise StaleState once the lease is known to be lost: the job ended, or somebody took it over."""
        if not self.is_held:
            raise StaleState("The lease was lost.")

    def confirm(self) -> None:
        """Ask the database itself whether the lease still holds, unless it said so within a second.

        A process that was stopped for a while learns it here. Raises StaleState.
        """
        self.check()
        if time.monotonic() - self._confirmed_at >= CERTAIN_FOR:
            self._renew()

    def _keep(self) -> None:
        try:
            while not self._ended.is_set() and time.monotonic() < self._give_up_at:
                self._try_to_renew()
                self._ended.wait(RENEW_EVERY)
        except StaleState:
            self.is_held = False
        finally:
            connections.close_all()

    def _renew(self) -> None:
        asked_at = time.monotonic()
        scheduler.renew(self.lease, now=timezone.now())
        self._confirmed_at = asked_at

    def _try_to_renew(self) -> None:
        try:
            self._renew()
        except (OperationalError, InterfaceError):
            # A database that restarts must not cost an edit. If it stays away, the lease runs out.
            logger.warning("Lease not renewed, the database does not answer", job_id=self.lease.job_id)
            connections.close_all()

    def __enter__(self) -> Self:
        _late_starts.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _late_starts.discard(self)
        self._ended.set()
        if self._thread is not None:
            self._thread.join()


class _LateStarts:
    """Starts keepers once it is time to renew: an attempt that is over by then has cost no thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[LeaseKeeper, float] = {}
        self._thread: threading.Thread | None = None

    def add(self, keeper: LeaseKeeper) -> None:
        """Start it in RENEW_EVERY, or a little later. Raises RuntimeError as `start` does."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="starts of lease keepers", daemon=True)
                thread.start()
                self._thread = thread
            self._due[keeper] = time.monotonic() + RENEW_EVERY

    def discard(self, keeper: LeaseKeeper) -> None:
        """Do not start it any more; it has been started, or never will be."""
        with self._lock:
            self._due.pop(keeper, None)

    def _run(self) -> None:
        while True:
            time.sleep(RENEW_EVERY / 8)
            with self._lock:
                self._start_due()

    def _start_due(self) -> None:
        now = time.monotonic()
        for keeper in [keeper for keeper, due in self._due.items() if due <= now]:
            try:
                keeper.start()
            except Exception as error:  # all leases depend on this thread; the next round tries again
                logger.warning("Keeping a lease not begun", job_id=keeper.lease.job_id, reason=repr(error))
            else:
                del self._due[keeper]


_late_starts = _LateStarts()
