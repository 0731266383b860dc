"""A storm of payments: processes pay, hear, sweep and refund; the shop fails them, and they are killed.

    python -m bench.payments --payments 10000 [--processes 3] [--kill-every 4]

Every process is `bench.payments_process`, with many threads that call the services as web and worker do, on
one PostgreSQL, beside our stand-in of YooKassa over HTTP with faults in every kind of request. Notifications
come twice, in parallel, or never. Now and then a process is killed and another one goes on from what the
database holds. In the end what the shop took and gave back is compared with the ledger.

Prints what was lost, doubled or given back too often, all of it zero, and writes its figures to
`var/bench/payments.json`. Exits 1 where something is not zero.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests

from bench.stopping import end_in_order, end_valkey
from tests.postgres import PostgresServer
from tests.servers import YooKassaServer, start_sandbox_yookassa

PROJECT_ROOT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT_ROOT / "var" / "bench" / "payments.json"
USERS = 200
WEB_THREADS = 8
NEVER_SENT = 0.15  # of all notifications
ROUNDS = 20
# Chances of what the shop does instead of answering as it should; see the stand-in's `faults`.
FAULTS_OF_POSTS: list[tuple[str, bool, float]] = [
    ("drop", True, 0.04), ("drop", False, 0.03), ("error", True, 0.03), ("error", False, 0.02),
    ("bad_gateway", False, 0.02), ("too_many_requests", False, 0.02), ("processing", False, 0.02),
    ("not_json", True, 0.01), ("hang", False, 0.02), ("hidden", False, 0.03), ("webhook_first", False, 0.02),
    ("forbidden", False, 0.005),
]  # fmt: skip
FAULTS_OF_GETS = ["drop", "error", "bad_gateway", "too_many_requests", "not_json", "hang"]
REFUND_MODES = ["succeeded", "succeeded", "pending_then_succeeded", "pending_then_canceled", "canceled"]
# The figures that have to be zero.
WRONG = ("lost", "credited_without_money", "refunds_that_differ", "over_refunds", "broken_invariants", "open")


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--payments", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=6, help="that start payments, in each process")
    parser.add_argument("--kill-every", type=float, default=4.0, metavar="SECONDS", help="0 kills none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    end_in_order()
    with tempfile.TemporaryDirectory(prefix="qwenedit-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
        stack.callback(end_valkey, folder)
        database = stack.enter_context(PostgresServer(folder / "postgres"))
        shop = stack.enter_context(start_sandbox_yookassa())
        os.environ |= {
            "DATABASE_URL": database.url,
            "VAR_DIR": str(folder),
            "YOOKASSA_API_URL": shop.api_url,
            "SANDBOX_CONTROL": shop.url,
            "LOG_LEVEL": "error",
            "WEEKLY_BONUS_ENABLED": "false",
            "DJANGO_SETTINGS_MODULE": "qwenedit.settings",
        }
        figures = measure(shop, options, folder)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(figures, indent=2) + "\n")
    sys.stdout.write("".join(f"{name:<24} {value}\n" for name, value in figures.items()))
    if any(figures[name] for name in WRONG):
        raise SystemExit(1)


def measure(shop: YooKassaServer, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the figures of one storm."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from bench.payments_process import STAFF
    from qwenedit.users.models import User

    call_command("migrate", interactive=False, verbosity=0)
    for number in range(USERS):
        User.objects.create(username=f"buyer-{number}", telegram_id=10_000 + number)
    User.objects.create(username=STAFF, is_staff=True)
    chance = random.Random(options.seed)  # noqa: S311 - storms repeat
    with receiver(chance) as address:
        shop.do("webhooks", url=address, copies=2, parallel=True)
        for fault, processed, likely in FAULTS_OF_POSTS:
            plan = {"fault": fault, "processed": processed, "chance": likely, "seconds": 0.3}
            shop.do("fault", **plan, method="POST", count=None)
        for fault in FAULTS_OF_GETS:
            shop.do("fault", fault=fault, chance=0.02, seconds=0.3, method="GET", count=None)
        started = time.perf_counter()
        kills = run_processes(shop, options, folder, chance)
        seconds = time.perf_counter() - started
        shop.do("clear_faults")
        settle(shop)
    figures = {
        "payments": options.payments,
        "seconds": round(seconds, 1),
        "payments_per_second": round(options.payments / seconds, 1),
        "killed": kills,
        "requests_to_the_shop": shop.do("clear_faults")["requests"],
        **verdict(),
    }
    connections.close_all()
    return figures


@contextmanager
def receiver(chance: random.Random) -> Iterator[str]:
    """Take notifications as the site does, but for those that were never sent; yield where."""
    from django.db import connections

    from payments import webhooks

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                if chance.random() >= NEVER_SENT:
                    webhooks.receive(body, "127.0.0.1")
                self.send_response(200)
            finally:
                connections.close_all()
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 1024

        def process_request(self, *request: Any) -> None:
            """Answer by one of a few threads: the database has only so many connections."""
            web.submit(self.process_request_thread, *request)

        def handle_error(self, *_arguments: Any) -> None:
            """Say nothing of a shop that did not wait for its answer: it comes again."""

    with ThreadPoolExecutor(WEB_THREADS) as web, Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def run_processes(
    shop: YooKassaServer, options: argparse.Namespace, folder: Path, chance: random.Random
) -> int:
    """Run the processes until every payment's story is told, killing one now and then; return how often."""
    running = [Process(number, options, folder) for number in range(options.processes)]
    kills = 0
    try:
        while running:
            time.sleep(0.2)
            shop.do("refund_mode", mode=chance.choice(REFUND_MODES), seconds=1.0)
            running = [process for process in running if not process.is_over()]
            old = [process for process in running if process.age() > options.kill_every * len(running)]
            if options.kill_every and old:
                chance.choice(old).restart()
                kills += 1
    finally:
        for process in running:
            process.kill()
    return kills


class Process:
    """One process of the storm, and the one that takes its place when it is killed."""

    def __init__(self, number: int, options: argparse.Namespace, folder: Path) -> None:
        self._book = folder / f"told-{number}"
        words = {"number": number, "of": options.processes, "payments": options.payments}
        words |= {"threads": options.threads, "seed": options.seed, "told": self._book}
        arguments = [f"--{name}={value}" for name, value in words.items()]
        self._command = [sys.executable, "-m", "bench.payments_process", *arguments]
        self._start()

    def _start(self) -> None:
        self._told, self._at_work_since = self._size(), math.inf
        self._process = subprocess.Popen(self._command, cwd=PROJECT_ROOT)  # noqa: S603

    def _size(self) -> int:
        return self._book.stat().st_size if self._book.exists() else 0

    def age(self) -> float:
        """Return for how many seconds it has told stories, which is below zero before the first."""
        if self._size() > self._told:
            self._at_work_since = min(self._at_work_since, time.monotonic())
        return time.monotonic() - self._at_work_since

    def is_over(self) -> bool:
        """Whether all its stories are told."""
        code = self._process.poll()
        if code:
            raise SystemExit(f"A process ended by itself, with {code}")
        return code == 0

    def restart(self) -> None:
        """Kill it as the out-of-memory killer would, and start another one."""
        self.kill()
        self._start()

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


def settle(shop: YooKassaServer) -> None:
    """Let time pass until nothing is open: links run out, sweeps come, lists are compared."""
    from django.db.models import F
    from django.utils import timezone

    from payments import reconcile
    from payments.gateways.registry import gateway_for
    from payments.models import Notification, Payment, PaymentStatus, Refund, RefundStatus

    shop.do("refund_mode", mode="succeeded")
    day = timedelta(days=1)
    for _ in range(ROUNDS):
        now = timezone.now()
        for payment in gateway_for("yookassa").list_payments(since=now - day, until=now + day):
            if payment.status == PaymentStatus.PENDING:
                with suppress(requests.HTTPError):
                    shop.do("expire", payment_id=payment.id)
        Refund.objects.update(created_at=F("created_at") - timedelta(minutes=15))
        Notification.objects.update(received_at=F("received_at") - timedelta(minutes=15))
        for sweep in (
            reconcile.sweep_notifications, reconcile.check_due_payments, reconcile.check_due_refunds,
        ):  # fmt: skip
            while sweep(now + day) == reconcile.BATCH:
                now += day
        if not (
            Payment.objects.filter(status=PaymentStatus.PENDING).exists()
            or Refund.objects.filter(status=RefundStatus.PENDING).exists()
            or Notification.objects.open().exists()
        ):
            break
    reconcile.compare(timezone.now() - day, timezone.now() + day)


def verdict() -> dict[str, Any]:
    """Compare what the shop took and gave back with the ledger."""
    from django.utils import timezone

    from payments import audit
    from payments.gateways.registry import gateway_for
    from payments.models import Discrepancy, LedgerEntry, Payment, PaymentStatus, Refund, RefundStatus

    now, day = timezone.now(), timedelta(days=1)
    at_shop = {
        remote.id: remote
        for remote in gateway_for("yookassa").list_payments(since=now - 2 * day, until=now + day)
    }
    paid = {key for key, remote in at_shop.items() if remote.status == PaymentStatus.SUCCEEDED}
    keys = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.PAYMENT).values_list("key", flat=True)
    ours = {f"payment:{payment.pk}": payment for payment in Payment.objects.all()}
    credited = Counter(str(ours[key].gateway_id) for key in keys)
    refunds = Refund.objects.filter(status=RefundStatus.SUCCEEDED).select_related("payment")
    given_back = Counter[str]()
    for refund in refunds:
        given_back[str(refund.payment.gateway_id)] += refund.amount
    return {
        "paid": len(paid),
        "lost": len(paid - {*credited}),
        "credited_without_money": len({*credited} - paid) + sum(n - 1 for n in credited.values()),
        "refunds": len(refunds),
        "refunds_that_differ": sum(given_back[key] != remote.refunded for key, remote in at_shop.items()),
        "over_refunds": sum(remote.refunded > remote.amount for remote in at_shop.values()),
        "broken_invariants": sum(finding.broken > 0 for finding in audit.findings()),
        "open": Payment.objects.filter(status=PaymentStatus.PENDING).count()
        + Refund.objects.filter(status=RefundStatus.PENDING).count(),
        "for_a_person": Discrepancy.objects.count(),
        "final": dict(Counter(Payment.objects.values_list("status", flat=True))),
    }


if __name__ == "__main__":
    main()
