"""One run: every fault alone, then a storm of many at once, then peace until nothing is left to do.

Owns the order of events, and how long the system took to recover: measured of faults that strike alone.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.processes import wait_for
from tests.chaos.system import System

logger = logging.getLogger(__name__)

BETWEEN = 2.0, 6.0  # seconds from one fault of a storm to the next
MOST_AT_ONCE = 6
UNFINISHED = "SELECT id FROM jobs_job WHERE status IN ('queued', 'running')"
ON_THEIR_WAY = "SELECT id FROM jobs_job WHERE status = 'running'"
ACTIVE = "SELECT id FROM jobs_attempt WHERE status = 'active'"
BUSY_NODES = "SELECT DISTINCT node_id FROM jobs_attempt WHERE status = 'active'"
SUCCEEDED_SINCE = "SELECT id FROM jobs_job WHERE status = 'succeeded' AND finished_at > %s LIMIT 1"
STILL_OPEN = "SELECT id FROM jobs_job WHERE id = ANY(%s) AND status IN ('queued', 'running')"


@dataclass
class Recovery:
    """How many seconds the system took to recover from one fault that struck alone.

    `edits`: until all that were on their way (`touched` of them) had ended, and another had succeeded.
    `processes`: until all of them answered.
    """

    fault: str
    edits: float
    processes: float
    touched: int

    @property
    def seconds(self) -> float:
        """Until everything was as before."""
        return max(self.edits, self.processes)


class Run:
    """Chaos in `system` while `load` lasts. `patience` seconds is how long any wait may take."""

    def __init__(self, system: System, load: Load, *, chance: random.Random, patience: float) -> None:
        self.recoveries: list[Recovery] = []
        self.struck: list[str] = []
        self.seconds_to_end = 0.0  # from the last fault until no work was left
        self._system = system
        self._load = load
        self._chance = chance
        self._patience = patience
        self._began = time.monotonic()

    def strike_alone(self, faults: Sequence[Fault]) -> None:
        """Let each fault strike, in an order of chance, and wait until the system has recovered from it."""
        for fault in self._chance.sample(faults, len(faults)):
            self._wait(lambda: len(self._rows(BUSY_NODES)) == len(self._system.nodes), "every node has work")
            recovery = self._recovery_from(fault)
            self.recoveries.append(recovery)
            self._say(
                f"recovered from: {fault.name}; {recovery.touched} edits on their way after "
                f"{recovery.edits:.1f} s, processes after {recovery.processes:.1f} s"
            )

    def _recovery_from(self, fault: Fault) -> Recovery:
        touched = [row["id"] for row in self._rows(ON_THEIR_WAY)]
        since, began = datetime.now(UTC), time.monotonic()

        def edits_go_on() -> bool:
            return not self._rows(STILL_OPEN, touched) and bool(self._rows(SUCCEEDED_SINCE, since))

        def seconds_until(condition: Callable[[], bool], what: str) -> float:
            self._wait(condition, f"{what} after: {fault.name}")
            return time.monotonic() - began

        with ThreadPoolExecutor(2) as pool:
            striking = pool.submit(self._strike, fault, self._fork())
            edits = pool.submit(seconds_until, edits_go_on, "edits go on")
            striking.result()
            processes = seconds_until(self._system.is_up, "processes answer")
            return Recovery(fault.name, edits.result(), processes, len(touched))

    def storm(self, faults: Sequence[Fault], *, until: float) -> None:
        """Let faults strike beside each other until the moment `until` of the monotonic clock."""
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            while time.monotonic() < until:
                pool.submit(self._strike, self._chance.choice(faults), self._fork())
                time.sleep(self._chance.uniform(*BETWEEN))

    def settle(self) -> None:
        """Bring everything back and wait until no work is left. Raises TimeoutError."""
        self._say("the faults are over")
        began = time.monotonic()
        for process in self._system.processes:
            process.thaw()
        for node in range(len(self._system.nodes)):
            self._system.control(node, reset=True)
        self._wait(self._system.is_up, "every process is up")
        self._load.stop(self._patience)
        left = len(self._rows(UNFINISHED))
        self._say(f"everybody has submitted; {left} edits are left")
        # What is left takes its time, and is given as much for each edit as recovery is in all.
        self._wait(
            lambda: not self._rows(UNFINISHED) and not self._rows(ACTIVE), "no work is left", more=left
        )
        self.seconds_to_end = time.monotonic() - began
        self._say(f"no work is left, {self.seconds_to_end:.1f} s after the last fault")

    def _strike(self, fault: Fault, chance: random.Random) -> None:
        self._say(f"{fault.name} …")
        try:
            whom = fault.strike(self._system, chance)
        except Exception as error:  # what it was to hit may be down already
            whom = f"nobody: {type(error).__name__}: {error}"
        self.struck.append(fault.name)
        self._say(f"{fault.name}: {whom}")

    def _rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database, which may be restarting; raises OSError then, as others that do not answer."""
        try:
            return self._system.rows(query, *values)
        except psycopg.OperationalError as error:
            raise ConnectionError from error

    def _wait(self, condition: Callable[[], object], what: str, *, more: float = 0.0) -> None:
        wait_for(condition, what, timeout=self._patience + more)

    def _fork(self) -> random.Random:
        """Return chance for a thread of its own, so that the choices do not depend on who is first."""
        return random.Random(self._chance.getrandbits(64))

    def _say(self, text: str) -> None:
        logger.info("%7.1f  %s", time.monotonic() - self._began, text)
