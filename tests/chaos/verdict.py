"""The audit after chaos: what the clients were told, compared with tables, pictures, nodes and logs.

Reads the database by SQL and results over the REST API, so that a mistake in the code that wrote them is not
repeated here.
"""

import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from PIL import Image

from qwenedit import settings
from tests.chaos.load import Load, Order
from tests.chaos.system import INITIAL_BALANCE, System
from tests.webhooks.receiver import Received

PRICE = settings.EDIT_COST
FINAL = {"succeeded", "failed", "cancelled"}
REFUNDED = {"failed", "cancelled"}
MOST_EXAMPLES = 5
MOST_FAILURES = settings.JOB_MAX_ATTEMPTS
LOST_WITH_NODES = {
    "comfy_unreachable",
    "prompt_lost",
    "attempt_timeout",
    "node_stalled",
    "interrupted",
    "comfy_unexpected_answer",
}
# Errors that are the very thing chaos does, in the words of whoever notices that a server is away.
EXPLAINED = re.compile(
    r"Cannot connect to redis|beat: Connection error"  # Celery, which then tries again by itself
    r"|Connection refused|Connection reset|Broken pipe|Connection closed by server"
    r"|server closed the connection|terminating connection|the connection is (closed|lost)"
    r"|couldn't get a connection|the database system is (starting up|shutting down|in recovery)"
)
JOBS = """
    SELECT job.*, person.username,
        ARRAY(SELECT key FROM payments_ledgerentry
            WHERE key LIKE 'job:' || job.id || ':%%' ORDER BY key) AS entries,
        ARRAY(SELECT id::text FROM jobs_attempt WHERE job_id = job.id) AS attempts,
        ARRAY(SELECT id::text FROM jobs_attempt WHERE job_id = job.id AND status = 'succeeded') AS successes,
        (SELECT count(*) FROM jobs_jobimage WHERE job_id = job.id AND role = 'result') AS results
    FROM jobs_job job JOIN users_user person ON person.id = job.user_id
"""
UNDELIVERED = """
    SELECT 'to a chat: ' || id AS what FROM botapp_delivery WHERE finished_at IS NULL
    UNION ALL
    SELECT 'to an integrator: ' || id || ', ' || status || ', ' || attempts
    FROM webhooks_delivery WHERE status <> 'delivered'
"""


@dataclass
class Check:
    """One statement, and what contradicts it."""

    statement: str
    wrong: list[str] = field(default_factory=list)


class Verdict:
    """Everything that must hold, and the figures that are only reported."""

    def __init__(self, system: System, load: Load, webhooks: Iterable[Received]) -> None:
        self.checks: list[Check] = []
        self.figures: dict[str, Any] = {}
        self._system = system
        self._load = load
        self._orders: dict[int, Order] = {order.job_id: order for order in load.orders if order.job_id}
        self._jobs: dict[int, dict[str, Any]] = {row["id"]: row for row in system.rows(JOBS)}
        self._made = _pictures_made(system)
        self._told: dict[str, list[Received]] = defaultdict(list)
        for request in webhooks:
            self._told[request.path].append(request)

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts any statement."""
        return not any(check.wrong for check in self.checks)

    def reach(self) -> None:
        """Check everything."""
        self._check_what_was_told()
        self._check_ends()
        self._check_points()
        self._check_results()
        self._check_webhooks()
        self._check_leftovers()
        self._check_logs()
        self._count()

    def lines(self) -> list[str]:
        """Return the table, line by line."""
        table = []
        for check in self.checks:
            examples = "".join(f"\n          {wrong}" for wrong in check.wrong[:MOST_EXAMPLES])
            table.append(
                f"{'broken' if check.wrong else 'holds '} {len(check.wrong):>4}  {check.statement}{examples}"
            )
        return table + [f"{name:<44} {value}" for name, value in self.figures.items()]

    def expect(self, statement: str, wrong: Iterable[object]) -> None:
        """Add a statement and what contradicts it."""
        self.checks.append(Check(statement, [str(item) for item in wrong]))

    def _check_what_was_told(self) -> None:
        orders = self._load.orders
        self.expect(
            "every request is answered",
            (f"order {order.number}: {order.refusal}" for order in orders if order.refusal),
        )
        self.expect(
            "every 201 is one edit, as ordered (lost: 0)",
            (
                f"order {order.number}: job {number}"
                for number, order in self._orders.items()
                if not _as_ordered(self._jobs.get(number), order)
            ),
        )
        told = {order.key for order in orders if order.refusal}  # whose fate its client does not know
        self.expect(
            "nobody has an edit that they did not order",
            (
                f"job {job['id']}"
                for job in self._jobs.values()
                if job["id"] not in self._orders and job["idempotency_key"] not in told
            ),
        )
        self.expect(
            "a repeated request is answered with the same edit",
            (f"order {order.number}" for order in orders if {*order.other_ids} - {order.job_id}),
        )
        self.expect(
            "what was said to be cancelled is cancelled",
            (
                f"job {number}: said {order.said_of_cancelling}"
                for number, order in self._orders.items()
                if order.said_of_cancelling in FINAL
                and self._jobs.get(number, {}).get("status") != order.said_of_cancelling
            ),
        )

    def _check_ends(self) -> None:
        jobs = self._jobs.values()
        self.expect(
            "every edit has ended (stuck: 0)", (_named(job) for job in jobs if job["status"] not in FINAL)
        )
        self.expect(
            "an edit has one successful attempt and one result if it succeeded, else none (twice: 0)",
            (
                f"{_named(job)}: {len(job['successes'])} successes, {job['results']} results"
                for job in jobs
                if not len(job["successes"]) == job["results"] == (job["status"] == "succeeded")
            ),
        )
        self.expect(
            "an edit failed only where three attempts were lost with their nodes",
            (
                f"{_named(job)}: {job['error_code']} after {job['failures']}"
                for job in jobs
                if job["status"] == "failed"
                and not (job["error_code"] in LOST_WITH_NODES and job["failures"] == MOST_FAILURES)
            ),
        )

    def _check_points(self) -> None:
        jobs = self._jobs.values()
        self.expect(
            "every edit is charged once, and refunded once if it did not succeed",
            (
                f"{_named(job)}: {job['entries']}"
                for job in jobs
                if job["entries"]
                != [f"job:{job['id']}:charge", *[f"job:{job['id']}:refund"] * (job["status"] in REFUNDED)]
            ),
        )
        paid = Counter(job["username"] for job in jobs if job["status"] not in REFUNDED)
        people = self._system.rows("SELECT username, balance FROM users_user")
        self.expect(
            "every balance is what it began with, less what succeeded",
            (
                f"{person['username']}: {person['balance']}"
                for person in people
                if person["balance"] != INITIAL_BALANCE - PRICE * paid[person["username"]]
            ),
        )
        holds, printed = self._system.audit()
        self.expect(
            "manage.py audit", [] if holds else [line for line in printed.splitlines() if "holds" not in line]
        )

    def _check_results(self) -> None:
        done = [job for job in self._jobs.values() if job["status"] == "succeeded"]
        with ThreadPoolExecutor(4) as pool:
            wrong = list(filter(None, pool.map(self._wrong_with_result, done)))
        self.expect("everybody gets the picture that was made of their photo by their wish", wrong)
        strangers = [self._stranger_sees(job) for job in done[:10]]
        self.expect("nobody gets the picture of another", filter(None, strangers))

    def _wrong_with_result(self, job: dict[str, Any]) -> str:
        answer = self._fetch(job, job["username"])
        if not answer.ok:
            return f"{_named(job)}: {answer.status_code}"
        made = [path for attempt in job["successes"] for path in self._made[attempt]]
        inputs = {path: _inputs_of(path) for path in made}
        if not all(inputs.values()):
            return f"{_named(job)}: a picture without its prompt, was ComfyUI told --disable-metadata?"
        shown = _pixels(io.BytesIO(answer.content))
        if not any({job["prompt"], job["seed"]} <= inputs[path] and _pixels(path) == shown for path in made):
            return f"{_named(job)}: not what its attempt made, {[str(path) for path in made]}"
        return ""

    def _stranger_sees(self, job: dict[str, Any]) -> str:
        stranger = next(order.user for order in self._load.orders if order.user != job["username"])
        answer = self._fetch(job, stranger)
        return (
            "" if answer.status_code == requests.codes.not_found else f"{_named(job)}: {answer.status_code}"
        )

    def _fetch(self, job: dict[str, Any], user: str) -> requests.Response:
        url = f"{self._system.web_urls[0]}/api/v1/jobs/{job['id']}/result/"
        return requests.get(url, headers=self._load.headers(user), timeout=60)

    def _check_webhooks(self) -> None:
        jobs = {urlsplit(job["webhook_url"]).path: job for job in self._jobs.values()}
        self.expect(
            "every edit that has ended was told of to its integrator (lost: 0)",
            (_named(job) for path, job in jobs.items() if job["status"] in FINAL and path not in self._told),
        )
        self.expect(
            "integrators were told what is so, and what they were told again was the same",
            (
                f"{path}: {[request.raw.decode() for request in requests]}"
                for path, requests in self._told.items()
                if not _as_it_is(jobs.get(path), requests)
            ),
        )

    def _check_leftovers(self) -> None:
        active = self._system.rows("SELECT job_id, id FROM jobs_attempt WHERE status = 'active'")
        self.expect("no attempt is active", (f"job {row['job_id']}: {row['id']}" for row in active))
        self.expect(
            "no lease is held",
            (_named(job) for job in self._jobs.values() if job["lease_token"] or job["lease_until"]),
        )
        queues = {node.name: self._system.queue_of(number) for number, node in enumerate(self._system.nodes)}
        self.expect(
            "no node has work", (f"{name}: {queue}" for name, queue in queues.items() if any(queue.values()))
        )
        undelivered = self._system.rows(UNDELIVERED)
        self.expect("nothing waits to be delivered, or was given up", (row["what"] for row in undelivered))

    def _check_logs(self) -> None:
        errors: Counter[str] = Counter()
        for process in self._system.processes:
            if process in (self._system.valkey, *self._system.nodes):
                continue
            errors.update(f"{process.name}: {line}" for line in _errors(process.log))
        self.expect(
            "the logs hold no error but those that chaos explains",
            (f"{count} times  {line}" for line, count in errors.most_common()),
        )

    def _count(self) -> None:
        jobs = self._jobs.values()
        runs = {job["id"]: sum(len(self._made[attempt]) for attempt in job["attempts"]) for job in jobs}
        ends = Counter(job["status"] for job in jobs)
        self.figures |= {
            "orders": len(self._load.orders),
            "edits": len(jobs),
            **{
                f"edits that {'were ' if name == 'cancelled' else ''}{name}": ends[name]
                for name in sorted(FINAL)
            },
            "attempts": sum(len(job["attempts"]) for job in jobs),
            "pictures that nodes made": sum(runs.values()),
            "of them in vain (made again, or cancelled)": sum(runs.values()) - ends["succeeded"],
            "ends told to integrators": len(self._told),
            "of them told again": sum(len(requests) - 1 for requests in self._told.values()),
            "longest wait of a client for an answer, s": round(
                max(order.longest_wait for order in self._load.orders), 1
            ),
            "processes started again": ", ".join(
                f"{process.name} {process.starts - 1}"
                for process in self._system.processes
                if process.starts > 1
            ),
        }


def _as_ordered(job: dict[str, Any] | None, order: Order) -> bool:
    names = "idempotency_key", "prompt", "seed", "username", "webhook_url"
    return job is not None and [job[name] for name in names] == [
        order.key, order.prompt, order.seed, order.user, order.webhook_url,
    ]  # fmt: skip


def _as_it_is(job: dict[str, Any] | None, requests: Sequence[Received]) -> bool:
    """Return whether every request says, as the same message, how an edit ended."""
    first = requests[0]
    data = first.body["data"]
    names = "id", "status", "prompt", "seed"
    return (
        job is not None
        and first.body["type"] == f"job.{job['status']}"
        and [data[name] for name in names] == [job[name] for name in names]
        and len(data["results"]) == job["results"]
        and all((request.id, request.raw) == (first.id, first.raw) for request in requests)
    )


def _named(job: dict[str, Any]) -> str:
    return f"job {job['id']} ({job['status']})"


def _pictures_made(system: System) -> dict[str, list[Path]]:
    """Return the pictures on the disks of all nodes by the prompt that made them."""
    made = defaultdict(list)
    for node in range(len(system.nodes)):
        for path in (system.data_of(node) / "output" / "qwenedit").glob("*/*.png"):
            made[path.parent.name].append(path)
    return made


def _inputs_of(path: Path) -> set[Any]:
    """Return the words and numbers of the prompt that a node wrote into its picture, if it wrote any."""
    with Image.open(path) as picture:
        graph = json.loads(picture.info.get("prompt", "{}"))
    values = [value for node in graph.values() for value in node["inputs"].values()]
    return {value for value in values if isinstance(value, str | int)}


def _pixels(file: Any) -> bytes:
    with Image.open(file) as picture:
        return picture.convert("RGB").tobytes()


def _errors(log: Path) -> list[str]:
    """Return what a process logged as an error, or printed past its logger, and nothing explains."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = dict(json.loads(line))
        except (ValueError, TypeError):
            if line.startswith("Traceback"):
                found.append(line)
            continue
        if entry.get("level") in {"error", "critical"} and not EXPLAINED.search(line):
            *_, last = ["", *str(entry.get("exception", "")).strip().splitlines()]
            found.append(f"{entry.get('event')} {last}"[:300])
    return found
