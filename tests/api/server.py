"""The site as production serves it: uvicorn, in a process of its own, on the session's database."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import IO

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent
RUNNING = re.compile(r"running on (?P<url>http://\S+)")
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0


class WebServer:
    """One server for the length of a `with` block, with `variables` over the session's environment."""

    def __init__(self, **variables: str) -> None:
        self.url = ""
        self.pid = 0
        self._variables = variables
        self._lines: Queue[str] = Queue()

    def __enter__(self) -> "WebServer":
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", "qwenedit.asgi:application", "--port=0", "--no-access-log",
                "--no-proxy-headers", "--no-use-colors", "--timeout-graceful-shutdown=10",
            ],
            cwd=PROJECT_ROOT,
            env={**os.environ, **self._variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stderr is not None
        self.pid = self._process.pid
        threading.Thread(target=self._collect, args=(self._process.stderr,), daemon=True).start()
        self.url = self._address()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it as a deployment does. Repeating it does nothing."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        finally:
            self._process.kill()

    def _collect(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)

    def _address(self) -> str:
        seen: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=START_TIMEOUT)
            except Empty:
                self._process.kill()
                raise RuntimeError(f"the site did not start:\n{''.join(seen)}") from None
            seen.append(line)
            if match := RUNNING.search(line):
                return match["url"]
            if self._process.poll() is not None and self._lines.empty():
                raise RuntimeError(f"the site ended:\n{''.join(seen)}")
