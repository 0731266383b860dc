"""The processes of production: web, worker and beat on a PostgreSQL and a Valkey of their own.

Owns starting and stopping them, and setting Django up in the benchmark's own process, on the same database.
One system per process: Django reads its settings once.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from bench.stopping import STOP_TIMEOUT, end, end_valkey
from tests.postgres import PostgresServer

PROJECT_ROOT = Path(__file__).resolve().parent.parent
READY_TIMEOUT = 60.0
WEB_PROCESSES = 2  # as in the Procfile
PREPARED = "BENCH_PREPARED"  # the folder of `save_prepared`, told to the rows that begin with copies of it
WORKER = ("worker", "--without-mingle", "--without-gossip")


@dataclass
class System:
    """Folder, database and environment of one installation, and what runs of it."""

    folder: Path
    database_url: str
    environment: dict[str, str]
    port: int
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    leave_broker: Callable[[], object] = bool  # nothing to leave before Django is set up

    @property
    def url(self) -> str:
        """Where the web process listens."""
        return f"http://127.0.0.1:{self.port}"

    def python(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a process of the installation; it ends with the system."""
        # A group of its own: Ctrl-C is for the benchmark, which ends it in its own order, and as a whole.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, *arguments], cwd=PROJECT_ROOT, env=self.environment, process_group=0
        )
        self.running.append(process)
        return process

    def manage(self, *arguments: str) -> None:
        """Run a management command; end the benchmark where it fails."""
        if self.python(str(PROJECT_ROOT / "manage.py"), *arguments).wait():
            raise SystemExit(f"manage.py {' '.join(arguments)} failed")

    def start_web(self, processes: int = WEB_PROCESSES) -> subprocess.Popen[bytes]:
        """Start the web server, and wait until it answers."""
        web = ("uvicorn", "qwenedit.asgi:application", f"--port={self.port}", "--log-level=warning")
        process = self.python("-m", *web, "--no-access-log", "--no-proxy-headers", f"--workers={processes}")
        wait_until(lambda: requests.get(f"{self.url}/healthz", timeout=5).ok)
        return process

    def start_worker(self, app: str = "celery_worker") -> subprocess.Popen[bytes]:
        """Start a worker as the Procfile does."""
        return self.python("-m", "celery", "-q", "-A", app, *WORKER)

    def start_beat(self) -> subprocess.Popen[bytes]:
        """Start the clock."""
        return self.python("-m", "qwenedit.beat")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop one process, as an operator would."""
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_TIMEOUT)
        self.running.remove(process)

    def set_up_django(self) -> None:
        """Let this process speak to the same database and broker."""
        os.environ |= self.environment
        import django

        django.setup()
        from qwenedit import embedded

        embedded.ensure()
        self.leave_broker = embedded.release


@contextmanager
def installation(**settings: str) -> Iterator[System]:
    """Make an installation with these settings, none of whose processes runs yet."""
    prepared = os.environ.get(PREPARED)
    origin = Path(prepared) if prepared else None
    with _unprepared(settings, origin and origin / "postgres") as (system, _):
        if origin is None:
            system.manage("prepare")
        else:  # its worker, where one starts, makes the row of its node
            shutil.copytree(origin / "var", system.folder / "var")
        yield system


def save_prepared(target: Path) -> None:
    """Prepare an installation once, and leave it in `target` for rows to begin with."""
    with _unprepared({}) as (system, database):
        system.manage("prepare")
        database.save(target / "postgres")
        shutil.copytree(system.folder / "var", target / "var", ignore=shutil.ignore_patterns("valkey"))


@contextmanager
def _unprepared(
    settings: dict[str, str], tables: Path | None = None
) -> Iterator[tuple[System, PostgresServer]]:
    with tempfile.TemporaryDirectory(prefix="qwenedit-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
        database = stack.enter_context(PostgresServer(folder / "postgres", copy_of=tables))
        port = free_port()
        environment = os.environ | {
            "DATABASE_URL": database.url,
            "DJANGO_SETTINGS_MODULE": "qwenedit.settings",
            "VAR_DIR": str(folder / "var"),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "LOG_LEVEL": "warning",
        }
        system = System(folder, database.url, environment | settings, port)
        stack.callback(end_valkey, folder / "var")
        stack.callback(lambda: system.leave_broker())  # as its last user, which stops it
        stack.callback(end, system.running)
        yield system, database


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    condition: Callable[[], object], *, seconds: float = READY_TIMEOUT, every: float = 0.2, what: str = ""
) -> None:
    """Wait until a condition holds; a server that does not answer yet is no failure. Ends the benchmark."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {seconds:.0f} s in vain{what and f' for {what}'}")
        time.sleep(every)
