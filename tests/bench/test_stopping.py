"""Whoever stops a benchmark stops everything that it has started."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_benchmark_that_is_stopped_leaves_no_process_and_no_file(number: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(prefix="qwenedit-stopped-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
        bench = subprocess.Popen(
            [sys.executable, "-m", "bench", "bonus", f"--results={folder / 'results'}"],
            cwd=PROJECT_ROOT,
            env=os.environ | {"TMPDIR": name},
        )
        try:
            wait_until(lambda: _has_server(bench), timeout=60)
            started = _descendants(bench)

            bench.send_signal(number)

            assert bench.wait(60) == 128 + number
            assert not [process for process in started if _lives(process)]
            assert list(folder.iterdir()) == []
        finally:
            bench.terminate()
            bench.wait()


def _descendants(parent: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(parent.pid).children(recursive=True)


def _has_server(bench: subprocess.Popen) -> bool:
    """Tell whether PostgreSQL serves: then it has processes of its own; what sets it up has none."""
    try:
        named = [one for one in _descendants(bench) if one.name() == "postgres"]
        return any(one.ppid() == other.pid for one in named for other in named)
    except psutil.NoSuchProcess:  # one that has just ended
        return False


def _lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that ended and that nobody asked for its exit code does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
