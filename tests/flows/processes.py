"""The processes of production, started by a test on its own database, Valkey and ComfyUI."""

import os
import signal
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import IO, Self

from qwenedit import settings
from tests.waiting import wait_until

READY = {"worker": "ready.", "beat": "maxinterval", "bot": "receives updates by polling"}


class ServiceProcess:
    """`celery -A celery_worker worker` or `… beat`, with its output kept for when a test fails.

    `manage.py runbot` under the role `bot`.
    """

    def __init__(self, role: str, **environment: str) -> None:
        self.role = role
        self.environment = os.environ | {"PYTHONUNBUFFERED": "1"} | environment
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)

    def start(self) -> Self:
        """Start the process and wait until it says that it is ready."""
        already = self.output.count(READY[self.role])
        self._process = subprocess.Popen(
            self._command(),
            cwd=settings.BASE_DIR,
            env=self.environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: self.output.count(READY[self.role]) > already or self._ended(), timeout=60)
        assert not self._ended(), self.output
        return self

    def _command(self) -> list[str]:
        if self.role == "bot":
            return [sys.executable, "manage.py", "runbot"]
        options = ["--without-mingle", "--without-gossip"] if self.role == "worker" else []  # as in Procfile
        return [sys.executable, "-m", "celery", "-A", "celery_worker", self.role, "--loglevel=info", *options]

    @property
    def output(self) -> str:
        """Everything the process has printed so far."""
        # pread leaves the file's position to the process that writes.
        return os.pread(self._output.fileno(), 1 << 24, 0).decode(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether the process still lives."""
        return not self._ended()

    def kill(self) -> None:
        """End it as the out-of-memory killer would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as a deployment would."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            sys.stderr.write(f"--- {self.role} said:\n{self.output[-8000:]}\n")
        self._output.close()
