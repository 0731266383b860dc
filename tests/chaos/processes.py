"""A process that is started again whenever it ends, as systemd does with `Restart=always`.

Must not know what the process is.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from qwenedit.settings import BASE_DIR

PAUSE = 0.5  # seconds before a process that ended starts again
GRACE = 15.0


class Supervised:
    """One process in a group of its own; its output is appended to `log`.

    `starts` counts how often it was started. Signals go to the whole group.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        cwd: Path = BASE_DIR,
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._command = command
        self._environment = dict(environment)
        self._cwd = cwd
        self._born_at = 0  # in bytes of the log
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)

    @property
    def pid(self) -> int:
        """The process id of its present life, or of the last one."""
        return self._process.pid if self._process is not None else 0

    @property
    def is_running(self) -> bool:
        """Whether it lives now, be it frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process and keep it running."""
        self._thread.start()

    def kill(self) -> None:
        """End it as the out-of-memory killer would; return when this life of it is over."""
        process = self._process
        self._signal(signal.SIGKILL)
        if process is not None:
            process.wait(GRACE)

    def freeze(self) -> None:
        """Stop it from doing anything, while its connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it for good: SIGTERM, and SIGKILL after its grace."""
        self._stopping.set()
        if not self._thread.is_alive():
            return
        self.thaw()
        self._signal(signal.SIGTERM)
        self._thread.join(GRACE)
        if self._thread.is_alive():
            self.kill()
            self._thread.join(GRACE)

    def has_said(self, words: str) -> bool:
        """Tell whether it printed `words` since it was last started."""
        return words in self.log.read_bytes()[self._born_at :].decode(errors="replace")

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            with self.log.open("ab") as log:
                self._born_at = log.tell()
                self._process = process = subprocess.Popen(
                    self._command,
                    cwd=self._cwd,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.starts += 1
            process.wait()
            with suppress(ProcessLookupError, PermissionError):  # its children, as systemd does
                os.killpg(process.pid, signal.SIGKILL)
            self._stopping.wait(PAUSE)

    def _signal(self, number: int) -> None:
        if self.is_running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def wait_for(condition: Callable[[], object], what: str, *, timeout: float) -> None:
    """Return as soon as `condition()` is true; an OSError counts as not yet. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while True:
        with suppress(OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s")
        time.sleep(0.1)
