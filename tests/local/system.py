"""The local runner as people start it: a process whose output is read, and whose traces can be looked for."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from qwenedit.local.machine import HOST, MARK
from tests.waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent
READY = "Ctrl-C stops everything"


def unused_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _hang_ups_are_heard() -> Iterator[None]:
    """Let a process started meanwhile end at SIGHUP, also where nohup began the tests: that is inherited."""
    usual = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, usual)


class LocalRun:
    """One `python -m qwenedit.local` in a session of its own, with everything local under `folder`."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.port = int(environment.setdefault("PORT", str(unused_port())))
        self.lines: list[str] = []
        with _hang_ups_are_heard():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "qwenedit.local", *arguments],
                cwd=PROJECT_ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "VAR_DIR": str(folder), "COMFYUI_URL": "", **environment},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def says(self, text: str, *, times: int = 1, timeout: float = 110) -> None:
        """Wait until `text` was printed in `times` lines."""
        wait_until(lambda: self._said(text) >= times or self.process.poll() is not None, timeout=timeout)
        assert self._said(text) >= times, self.output

    def _said(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def child(self, words: str) -> psutil.Process:
        """Find the one process of this run whose command line has `words`."""
        [found] = [process for process in self.marked() if words in _command_line(process)]
        return found

    def marked(self) -> list[psutil.Process]:
        """List the living processes that carry this run's mark."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.folder / "run.lock"):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def valkeys(self) -> list[psutil.Process]:
        """List the living servers that keep their data in this run's folder."""
        found = []
        for process in psutil.process_iter():
            try:
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.cwd() == str(self.folder / "valkey"):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def traces(self) -> list[psutil.Process]:
        """List every process that this run has left."""
        return [*self.marked(), *self.valkeys()]

    def ends(self, timeout: float = 110) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Press Ctrl-C (or send another signal) and wait for the end; return the exit code."""
        if self.process.poll() is None:
            # A terminal signals the whole foreground group, and so does this.
            os.killpg(self.process.pid, number)
        return self.ends()

    def clean_up(self) -> None:
        """End whatever is left, for a test that failed half-way."""
        self.process.kill()
        self.process.wait(10)
        for process in self.traces():
            process.kill()
        self._reader.join(5)


def _command_line(process: psutil.Process) -> str:
    """Return what a process was started with, "" for one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
