"""What the machine offers a run: free ports, the lock against a second start, what a killed run left behind.

A process of a run is recognised by a mark in its environment, so no list of process ids can go stale.
"""

import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

HOST = "127.0.0.1"
MARK = "QWENEDIT_RUN"
LEFTOVER_GRACE = 5.0
HANDOVER_TIMEOUT = 15.0
POLL = 0.1


@dataclass(frozen=True)
class Holder:
    """Who holds the lock, in words for whoever is turned away."""

    pid: int = 0
    url: str = ""
    stopping: bool = False


class AlreadyRunning(Exception):
    """Another run of this folder is up."""

    def __init__(self, holder: Holder) -> None:
        where = f" at {holder.url}" if holder.url else ""
        super().__init__(
            f"QwenEdit is already running{where} (pid {holder.pid}). "
            f"Stop it with Ctrl-C in its terminal or `kill {holder.pid}`, or set VAR_DIR for a second one"
        )


class PortTaken(Exception):
    """The port that was asked for is in use."""


class RunLock:
    """One run a folder. The kernel drops the lock with its holder, however that dies."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "run.lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock, waiting for a holder that is on its way out. Raises AlreadyRunning."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + HANDOVER_TIMEOUT
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = self._holder()
                if not holder.stopping or time.monotonic() > deadline:
                    os.close(descriptor)
                    raise AlreadyRunning(holder) from None
                time.sleep(POLL)
        self._file = descriptor
        self.describe(Holder(os.getpid()))

    def describe(self, holder: Holder) -> None:
        """Tell whoever comes second what runs here."""
        if self._file is not None:
            line = json.dumps(asdict(holder)).encode() + b"\n"
            os.pwrite(self._file, line, 0)
            os.ftruncate(self._file, len(line))

    def release(self) -> None:
        """Drop the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _holder(self) -> Holder:
        try:
            return Holder(**json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            return Holder()  # it has not described itself yet


def end_leftovers(lock: RunLock) -> int:
    """End every process that carries the mark of an earlier run under `lock`; return how many there were."""
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(lock.path) and process.pid != os.getpid():
                process.terminate()
                left.append(process)
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(left, LEFTOVER_GRACE)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, LEFTOVER_GRACE)
    return len(left)


def port_is_free(port: int) -> bool:
    """Say whether `port` can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(wanted: int, *, exactly: bool) -> int:
    """Return `wanted`, or the next free port unless it has to be `exactly` that one. Raises PortTaken."""
    for port in range(wanted, min(wanted + 100, 65536)):
        if port_is_free(port):
            return port
        if exactly:
            break
    raise PortTaken(f"Port {wanted} is in use. Choose another one: make run PORT={min(wanted + 1, 65535)}")
