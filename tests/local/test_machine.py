"""What the machine offers a run: ports, the lock, leftovers."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from qwenedit.local.machine import (
    HOST,
    MARK,
    AlreadyRunning,
    Holder,
    PortTaken,
    RunLock,
    end_leftovers,
    free_port,
)
from qwenedit.local.runner import without_credentials
from tests.local.system import unused_port


def test_one_run_holds_the_lock_and_the_next_may_have_it_afterwards(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    first.acquire()
    first.describe(Holder(4711, "http://127.0.0.1:8000"))
    with pytest.raises(AlreadyRunning, match=r"already running at http://127\.0\.0\.1:8000 \(pid 4711\)"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_run_that_stops_is_waited_for(tmp_path: Path) -> None:
    leaving = """
import sys, time
from pathlib import Path
from qwenedit.local.machine import Holder, RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
lock.describe(Holder(1, stopping=True))
print("held", flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", leaving, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.stdin.close()
        lock = RunLock(tmp_path)
        lock.acquire()
        lock.release()


@pytest.mark.processes
def test_leftovers_are_known_by_their_mark_and_ended_even_if_they_ignore_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenedit.local.machine.LEFTOVER_GRACE", 0.5)
    lock = RunLock(tmp_path)
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"

    def start(mark: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", stubborn], env={**os.environ, MARK: mark}, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline() == b"up\n"
        return process

    ours, foreign = start(str(lock.path)), start("/another/run.lock")
    try:
        assert end_leftovers(lock) == 1
        assert not psutil.pid_exists(ours.pid)
        assert foreign.poll() is None
    finally:
        for process in (ours, foreign):
            process.kill()
            process.wait(10)


def test_a_free_port_is_taken_as_it_is() -> None:
    port = unused_port()
    assert free_port(port, exactly=True) == port


def test_a_busy_port_is_passed_over_unless_it_was_asked_for() -> None:
    with socket.socket() as busy:
        busy.bind((HOST, 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert port < free_port(port, exactly=False) < port + 100
        with pytest.raises(PortTaken, match=rf"Port {port} is in use\..*make run PORT="):
            free_port(port, exactly=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:pa%40ss@gpu:8188/comfy", "http://gpu:8188/comfy"),
        ("https://gpu", "https://gpu"),
        ("http://user@[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_an_address_is_shown_without_its_credentials(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
