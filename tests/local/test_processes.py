"""Supervision of one process, with small modules that misbehave on purpose."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from qwenedit.local.processes import Child, Console
from qwenedit.local.specs import ProcessSpec
from tests.local.system import PROJECT_ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Make a supervised process of the module whose code is given."""
    console = Console(tmp_path / "logs")

    def make(code: str, grace: float = 5.0) -> Child:
        (tmp_path / "subject.py").write_text(code)
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{PROJECT_ROOT}"}
        return Child(ProcessSpec("subject", "subject", (), grace=grace), environment, console)

    yield make
    console.close()


def said(tmp_path: Path, name: str) -> str:
    path = tmp_path / "logs" / f"{name}.log"
    return path.read_text() if path.exists() else ""


async def hears(tmp_path: Path, name: str, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in said(tmp_path, name):
            await asyncio.sleep(0.02)


def test_its_lines_are_printed_under_its_name_and_kept(
    child: Callable[..., Child], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = asyncio.run(child("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)").run())
    assert code == 3
    assert sorted(capfd.readouterr().out.splitlines()) == ["subject  | one", "subject  | two"]
    assert sorted(said(tmp_path, "subject").splitlines()) == ["one", "two"]


def test_one_that_fails_is_started_again_after_growing_pauses(
    child: Callable[..., Child], tmp_path: Path
) -> None:
    async def scene() -> None:
        subject = child("raise SystemExit(3)")
        supervision = asyncio.create_task(subject.supervise())
        await hears(tmp_path, "qwenedit", "again in 1 s")
        await subject.stop()
        supervision.cancel()

    asyncio.run(scene())
    assert said(tmp_path, "qwenedit").splitlines() == [
        "subject ended with exit code 3; it starts again in 0.5 s",
        "subject ended with exit code 3; it starts again in 1 s",
    ]


def test_one_that_ignores_sigterm_is_killed_after_its_grace_with_its_own_children(
    child: Callable[..., Child], tmp_path: Path
) -> None:
    stubborn = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    print("pids", os.getpid(), child, flush=True)
time.sleep(600)
"""

    async def scene() -> None:
        subject = child(stubborn, grace=0.3)
        supervision = asyncio.create_task(subject.supervise())
        await hears(tmp_path, "subject", "pids")
        await subject.stop()
        await supervision

    asyncio.run(scene())
    pids = [int(word) for word in said(tmp_path, "subject").split()[1:]]
    assert len(pids) == 2
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    assert "subject does not end by itself and is killed" in said(tmp_path, "qwenedit")


def test_stopping_during_a_pause_starts_it_no_more(child: Callable[..., Child], tmp_path: Path) -> None:
    async def scene() -> None:
        subject = child("print('started', flush=True)")
        supervision = asyncio.create_task(subject.supervise())
        await hears(tmp_path, "qwenedit", "again in 0.5 s")
        await subject.stop()
        await asyncio.wait_for(supervision, 5)

    asyncio.run(scene())
    assert said(tmp_path, "subject").count("started") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_it_ends_when_its_parent_is_killed_hard(tmp_path: Path) -> None:
    (tmp_path / "subject.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    parent_code = (
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'qwenedit.local.child', str(os.getpid()), 'subject'])\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{PROJECT_ROOT}"},
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "up\n"
        [orphan] = psutil.Process(parent.pid).children()
        parent.kill()
        parent.wait(10)
    wait_until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)
