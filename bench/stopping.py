"""Ending with everything that was started, however a benchmark ends: done, failed, Ctrl-C or SIGTERM.

Owns the signals of a benchmark's process and the end of its children. What SIGKILL ends leaves its children.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

STOP_TIMEOUT = 20.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_in_order() -> None:
    """Let SIGINT and SIGTERM end this process through its `finally` blocks; who repeats them is not heard."""
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _frame: object) -> NoReturn:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop processes that lead groups of their own, as an operator would; what does not end is killed."""
    for process in processes:
        process.terminate()
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what the leader has left behind
        process.wait()


def end_valkey(var: Path) -> None:
    """Stop the embedded Valkey of a folder where its last user was killed and could not."""
    with suppress(OSError, ValueError):
        os.kill(int((var / "valkey" / "valkey.pid").read_text()), signal.SIGTERM)


def run_to_its_end(command: Sequence[str], stdout: int, environment: Mapping[str, str]) -> int:
    """Run a benchmark as a process and return its exit code; whoever stops this one stops it."""
    process = subprocess.Popen(command, stdout=stdout, env=environment)  # noqa: S603
    try:
        return process.wait()
    finally:
        process.terminate()
        process.wait()
