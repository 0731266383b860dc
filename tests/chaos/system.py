"""The processes of production on this machine, each supervised: what chaos happens to.

Owns their ports, environment, start and end, and the ways of asking each how it is. Valkey keeps nothing on
disk, so that killing it empties it. Nodes are reached by a `Line`, which breaks as the network does.
"""

import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
import psycopg
import redis
import requests
from psycopg.rows import dict_row

from qwenedit import embedded
from qwenedit.settings import BASE_DIR
from tests.chaos.line import Line
from tests.chaos.processes import Supervised, wait_for
from tests.postgres import PostgresServer

HOST = "127.0.0.1"
NODES = WORKERS = WEBS = 2
INITIAL_BALANCE = 1_000_000
MOST_UNFINISHED = 1000  # of one person: the load is what breaks here, not the limit
# What was committed must survive the server; that it survives the machine is not what this is about.
POSTGRES_OPTIONS = {"synchronous_commit": "on"}
CHILD = "qwenedit.local.child"

NodeCommand = Callable[[int, Path], list[str]]  # of a port, and of the folder that is to hold its output/


def sandbox(seconds_per_step: float) -> NodeCommand:
    """Return the command of a stand-in ComfyUI."""
    return lambda port, folder: _python(
        "qwenedit.sandbox",
        "comfyui",
        f"--port={port}",
        f"--data-dir={folder}",
        f"--seconds-per-step={seconds_per_step}",
    )


def command_line(template: str) -> NodeCommand:
    """Return the command of any ComfyUI; `template` has `{port}` and `{folder}` in it."""
    return lambda port, folder: [word.format(port=port, folder=folder) for word in shlex.split(template)]


class System:
    """Everything, for the length of a `with` block; `folder` keeps the data, and `logs` the output."""

    def __init__(
        self, folder: Path, logs: Path, *, comfyui: NodeCommand, start_timeout: float = 120.0
    ) -> None:
        self.folder = folder
        self.database = PostgresServer(folder / "postgres", POSTGRES_OPTIONS)
        self._timeout = start_timeout
        self._one_restart = threading.Lock()
        self._logs = logs
        self.lines = [Line() for _ in range(NODES)]
        ports = _free_ports(1 + NODES + WEBS)
        self._node_ports = [next(ports) for _ in range(NODES)]
        self._valkey_port = next(ports)
        self.redis_url = f"redis://{HOST}:{self._valkey_port}/0"
        self.web_urls = [f"http://{HOST}:{next(ports)}" for _ in range(WEBS)]
        program = str(embedded._programs()[0][0])
        valkey = [program, "--port", str(self._valkey_port), "--save", "", "--appendonly", "no"]
        self.valkey = self._process("valkey", valkey, {"PATH": os.defpath})
        self.nodes = [
            self._process(f"comfyui-{number + 1}", comfyui(port, self.data_of(number)), os.environ)
            for number, port in enumerate(self._node_ports)
        ]
        self.environment: dict[str, str] = {}
        self.workers: list[Supervised] = []
        self.webs: list[Supervised] = []
        self.beat: Supervised | None = None

    @property
    def node_urls(self) -> list[str]:
        """The address of each node, at our end of its line."""
        return [line.url for line in self.lines]

    @property
    def processes(self) -> list[Supervised]:
        """All that are supervised, in the order they are to stop."""
        ours = [*self.webs, *([self.beat] if self.beat else []), *self.workers]
        return [*ours, *self.nodes, self.valkey]

    def __enter__(self) -> Self:
        try:
            self.database.__enter__()
            for number, line in enumerate(self.lines):
                line.start(self._node_ports[number])
                self.data_of(number).mkdir()
            for process in (self.valkey, *self.nodes):
                process.start()
            self.environment = self._environment()
            self._run("manage.py", "prepare")
            self._start_ours()
            wait_for(self.is_up, "the system comes up", timeout=self._timeout)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.stop()
        for line in self.lines:
            line.stop()
        self.database.close()

    def make_people(self, number: int) -> dict[str, str]:
        """Make so many users; return the key of each by its name."""
        keys: dict[str, str] = json.loads(self._run("-m", "tests.chaos.people", str(number)))
        return keys

    def audit(self) -> tuple[bool, str]:
        """Run `manage.py audit`; return whether every invariant holds, and what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", "audit"],
            cwd=BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr

    def rows(self, query: Any, *values: Any) -> list[dict[str, Any]]:
        """Ask the database; raises psycopg.OperationalError while it is away."""
        with psycopg.connect(self.database.url, connect_timeout=30, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def queue_of(self, node: int) -> dict[str, list[Any]]:
        """Return what runs and what waits on a node; raises requests.RequestException."""
        queue: dict[str, list[Any]] = requests.get(f"{self.node_urls[node]}/queue", timeout=10).json()
        return queue

    def is_up(self) -> bool:
        """Tell whether every process does its work; raises OSError where one does not answer."""
        return (
            all(process.is_running for process in self.processes)
            and self._valkey_answers()
            and all(requests.get(f"{url}/system_stats", timeout=2).ok for url in self.node_urls)
            and all(requests.get(f"{url}/readyz", timeout=5).ok for url in self.web_urls)
            and all(worker.has_said(" ready.") for worker in self.workers)
        )

    def _valkey_answers(self) -> bool:
        with redis.Redis.from_url(self.redis_url, socket_timeout=2) as client, suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def is_at_work(self, worker: Supervised) -> bool:
        """Tell whether a worker talks to a node, as it does all the while that it follows an edit."""
        ports = {urlsplit(url).port for url in self.node_urls}
        with suppress(psutil.Error):
            connections = psutil.Process(worker.pid).net_connections("tcp")
            return any(each.raddr and each.raddr.port in ports for each in connections)
        return False

    def restart_database(self, outage: float = 0.0) -> None:
        """Restart PostgreSQL in immediate mode: every connection breaks, and it recovers from its log.

        `outage` is how many seconds it stays away.
        """
        with self._one_restart:  # of two at once, the second comes after the first
            self.database.crash()
            time.sleep(outage)
            self.database.start_again()

    def empty_valkey(self) -> None:
        """Forget everything that Valkey holds; raises redis.RedisError while it is down."""
        with redis.Redis.from_url(self.redis_url, socket_timeout=5) as client:
            client.flushall()

    def data_of(self, node: int) -> Path:
        """Return the folder in which a node keeps its pictures."""
        return self.folder / f"comfyui-{node + 1}"

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "DATABASE_URL": self.database.url,
            "REDIS_URL": self.redis_url,
            "COMFYUI_URL": ",".join(self.node_urls),
            "VAR_DIR": str(self.folder / "var"),
            "PUBLIC_URL": self.web_urls[0],
            "DJANGO_SETTINGS_MODULE": "qwenedit.settings",
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "LOG_FORMAT": "json",
            "INITIAL_BALANCE": str(INITIAL_BALANCE),
            "MAX_ACTIVE_JOBS_PER_USER": str(MOST_UNFINISHED),
            "WEBHOOK_ALLOW_PRIVATE_NETWORKS": "true",
            "PYTHONUNBUFFERED": "1",
        }

    def _start_ours(self) -> None:
        worker = (
            "-A",
            "celery_worker",
            "worker",
            "--without-mingle",
            "--without-gossip",
        )  # as in the Procfile
        web = (
            "uvicorn",
            "qwenedit.asgi:application",
            f"--host={HOST}",
            "--no-access-log",
            "--no-proxy-headers",
        )
        ours = partial(self._process, environment=self.environment)
        self.workers = [
            ours(f"worker-{number}", _python("celery", *worker, f"--hostname=worker-{number}@%h"))
            for number in range(1, WORKERS + 1)
        ]
        self.webs = [
            ours(f"web-{number}", _python(*web, f"--port={url.rpartition(':')[2]}", "--log-level=warning"))
            for number, url in enumerate(self.web_urls, 1)
        ]
        self.beat = ours("beat", _python("qwenedit.beat"))
        for process in (*self.workers, *self.webs, self.beat):
            process.start()

    def _process(self, name: str, command: list[str], environment: Any) -> Supervised:
        # What can not be tied to this process at least lives in the folder, by which a sweep finds it.
        cwd = BASE_DIR if CHILD in command else self.folder
        return Supervised(name, command, environment=environment, log=self._logs / f"{name}.log", cwd=cwd)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def _python(module: str, *arguments: str) -> list[str]:
    """Return the command of a process that ends with this one, however this one ends."""
    return [sys.executable, "-m", CHILD, str(os.getpid()), module, *arguments]


def _free_ports(number: int) -> Iterator[int]:
    """Yield ports that are free now, all different."""
    probes = [socket.create_server((HOST, 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    yield from ports
