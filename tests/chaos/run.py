"""One run: every fault alone, then a storm of many at once, then peace until nothing is left to do.

Owns the order of events, and how long the system took to recover: measured of faults that strike alone.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from kombu.exceptions import OperationalError
from redis import RedisError

from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.processes import wait_for
from tests.chaos.system import System

logger = logging.getLogger(__name__)

BETWEEN = 2.0, 6.0  # seconds from one fault of a storm to the next
MOST_AT_ONCE = 6
SHORTEST_STORM = 60.0
ONE_EDIT = 5.0
LONGEST_RETRY = 300.0  # the pause after a webhook's third try; faults do not hit one more often
ABSENT = (OSError, RedisError, OperationalError)
UNFINISHED = "SELECT id FROM jobs_job WHERE status IN ('queued', 'running')"
ON_THEIR_WAY = """
    SELECT job_id, node_id FROM jobs_attempt attempt JOIN jobs_job job ON job.id = attempt.job_id
    WHERE attempt.status = 'active' AND job.status = 'running'
"""
ACTIVE = "SELECT id FROM jobs_attempt WHERE status = 'active'"
SUCCEEDED_SINCE = "SELECT id FROM jobs_job WHERE status = 'succeeded' AND finished_at > %s LIMIT 1"
UNDELIVERED = "SELECT id FROM webhooks_delivery WHERE status IN ('pending', 'sending')"
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
        self.struck: Counter[str] = Counter()
        self.stuck: list[str] = []
        self.seconds_to_end = 0.0  # from the last fault until no work was left
        self.seconds_to_last_delivery = 0.0  # and until integrators had heard of it
        self._system = system
        self._load = load
        self._chance = chance
        self._patience = patience
        self._began = time.monotonic()

    def play(self, faults: Sequence[Fault], *, seconds: float = 0.0) -> None:
        """Let `faults` strike, each alone and then many at once until `seconds` are over; bring peace.

        What did not happen in time ends the run, and is left in `stuck`.
        """
        self._load.start()
        try:
            self._strike_alone(faults)
            if seconds:
                storm = max(SHORTEST_STORM, self._began + seconds - time.monotonic())
                self._storm(faults, until=time.monotonic() + storm)
            self._settle()
        except TimeoutError as error:
            self.stuck.append(str(error))
        finally:
            self._load.stop(0.0)  # otherwise they would ask for ever

    def _strike_alone(self, faults: Sequence[Fault]) -> None:
        for fault in self._chance.sample(faults, len(faults)):
            self._wait(self._lines_are_whole, "the lines are whole")
            self._wait(self._all_nodes_have_work, "every node has work")
            recovery = self._recovery_from(fault)
            self.recoveries.append(recovery)
            self._say(
                f"recovered from: {fault.name}; {recovery.touched} edits on their way after "
                f"{recovery.edits:.1f} s, processes after {recovery.processes:.1f} s"
            )

    def _recovery_from(self, fault: Fault) -> Recovery:
        touched = [*self._on_their_way()]
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

    def _storm(self, faults: Sequence[Fault], *, until: float) -> None:
        striking = []
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            while time.monotonic() < until:
                striking.append(pool.submit(self._strike, self._chance.choice(faults), self._fork()))
                time.sleep(self._chance.uniform(*BETWEEN))
        for strike in striking:
            try:
                strike.result()
            except ABSENT as error:  # whoever it was to hit was down
                self._say(f"nobody was hit: {error}")

    def _settle(self) -> None:
        self._say("the faults are over")
        began = time.monotonic()
        for process in self._system.processes:
            process.thaw()
        for line in self._system.lines:
            line.heal()
        self._wait(self._system.is_up, "every process is up")
        self._load.stop(self._patience)
        left = len(self._rows(UNFINISHED))
        self._say(f"everybody has submitted; {left} edits are left")
        # What is left takes its time, and is given as much for each edit as it would take alone.
        self._wait(self._has_ended, "no work is left", more=left * ONE_EDIT)
        self.seconds_to_end = time.monotonic() - began
        self._say(f"no work is left, {self.seconds_to_end:.1f} s after the last fault")
        # What was being sent by a process that died waits for its lease, what failed for its pause.
        self._wait(lambda: not self._rows(UNDELIVERED), "nothing waits to be delivered", more=LONGEST_RETRY)
        self.seconds_to_last_delivery = time.monotonic() - began
        self._say(
            f"nothing waits to be delivered, {self.seconds_to_last_delivery:.1f} s after the last fault"
        )

    def _strike(self, fault: Fault, chance: random.Random) -> None:
        self._say(f"{fault.name} …")
        whom = fault.strike(self._system, chance)
        self.struck[fault.name] += 1
        self._say(f"{fault.name}: {whom}")

    def _has_ended(self) -> bool:
        # A node that was frozen may still work for nobody: its prompt could not be taken off it.
        is_idle = not any(
            any(self._system.queue_of(node).values()) for node in range(len(self._system.nodes))
        )
        return is_idle and not self._rows(UNFINISHED) and not self._rows(ACTIVE)

    def _lines_are_whole(self) -> bool:
        return all(line.is_whole for line in self._system.lines)

    def _all_nodes_have_work(self) -> bool:
        return len({*self._on_their_way().values()}) == len(self._system.nodes)

    def _on_their_way(self) -> dict[int, int]:
        """Return the node of each edit that is on one, but for those that their clients cancel anyway."""
        cancelled = {order.job_id for order in self._load.orders if order.cancel_after is not None}
        running = {row["job_id"]: row["node_id"] for row in self._rows(ON_THEIR_WAY)}
        return {job: node for job, node in running.items() if job not in cancelled}

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
