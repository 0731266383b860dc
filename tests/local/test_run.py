"""`python -m qwenedit.local`: the whole system, as real processes."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from PIL import Image

from qwenedit.local.machine import HOST, port_is_free
from tests.local.system import PROJECT_ROOT, READY, LocalRun, unused_port

pytestmark = [pytest.mark.processes, pytest.mark.timeout(400)]
Start = Callable[..., LocalRun]


def edit(run: LocalRun) -> subprocess.CompletedProcess[str]:
    """Make one more edit through the REST API of a running system."""
    return subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "qwenedit.local.demo",
                f"--site=http://{HOST}:{run.port}",
                "--timeout=110",
            ),
            *(f"--photo={PROJECT_ROOT / 'qwenedit/samples/astronaut.png'}", f"--save-in={run.folder}"),
        ],
        cwd=PROJECT_ROOT,
        env={**os.environ, "VAR_DIR": str(run.folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_once_edits_the_sample_photo_ends_with_success_and_leaves_no_process_and_so_again(
    start: Start, folder: Path
) -> None:
    known: set[Path] = set()
    for _ in range(2):
        run = start("--once")
        assert run.ends(120) == 0, run.output
        [result] = {*(folder / "demo").glob("edit-*.png")} - known
        assert str(result) in run.output
        with (
            Image.open(result) as picture,
            Image.open(PROJECT_ROOT / "qwenedit/samples/astronaut.png") as photo,
        ):
            picture.load()
            assert picture.width / picture.height == pytest.approx(photo.width / photo.height, rel=0.02)
        assert run.traces() == []
        known.add(result)


def test_a_top_up_is_paid_at_the_sandbox_and_brings_its_points(running: LocalRun) -> None:
    site = f"http://{HOST}:{running.port}"
    key = subprocess.run(
        [sys.executable, "manage.py", "create_api_key", "--username=buyer"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "VAR_DIR": str(running.folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()
    with requests.Session() as buyer:
        buyer.headers["Authorization"] = f"Bearer {key}"
        body = {"amount": 100, "method": "card"}
        started = buyer.post(f"{site}/api/v1/payments/", json=body, timeout=30).json()
        requests.post(started["confirmation_url"], data={"choice": "bank_card"}, timeout=30)
        running.says("credited 1000 points, new_balance=1060")
        payment = buyer.get(f"{site}/api/v1/payments/{started['id']}/", timeout=30).json()
    assert payment["status"] == "succeeded"
    for line in ("Payment attempt", "Payment created successfully", "Payment notification received"):
        running.says(line)
    assert f"YooKassa  {started['confirmation_url'].partition('/checkout')[0]}/v3 (sandbox" in running.output


def test_a_worker_and_a_valkey_killed_hard_are_replaced_and_the_next_edit_succeeds(running: LocalRun) -> None:
    running.says("ready.")
    running.child("celery_worker worker").kill()
    running.says("worker was ended by signal 9; it starts again")
    running.says("ready.", times=2)
    [valkey] = running.valkeys()
    valkey.kill()
    running.says("Valkey was gone; it has been started again")
    done = edit(running)
    assert done.returncode == 0, done.stdout + done.stderr + running.output


def test_it_stays_up_until_ctrl_c_which_ends_everything_with_success(running: LocalRun) -> None:
    assert f"http://{HOST}:{running.port}/api/docs/" in running.output
    assert running.stop(signal.SIGINT) == 0
    assert running.traces() == []
    assert port_is_free(running.port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_everything_too_even_in_the_middle_of_the_start(
    start: Start, number: signal.Signals
) -> None:
    run = start()
    run.says("prepare")
    assert run.stop(number) == 130
    assert run.traces() == []


def test_a_second_start_says_where_the_first_one_runs(start: Start) -> None:
    first = start()
    first.says("prepare")
    second = start()
    assert second.ends() == 1
    assert f"already running at http://{HOST}:{first.port} (pid {first.process.pid})" in second.output
    assert first.process.poll() is None


def test_after_a_hard_kill_of_the_runner_the_next_start_succeeds_and_ends_clean(start: Start) -> None:
    killed = start()
    killed.says(READY)
    killed.process.kill()
    killed.ends()
    following = start("--once")
    assert following.ends(120) == 0, following.output
    assert following.traces() == []


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(start: Start) -> None:
    first = start()
    first.says("/readyz")
    other = LocalRun(first.folder / "other", PORT=str(first.port))
    try:
        assert other.ends() == 1
        assert f"Port {first.port} is in use" in other.output
        assert other.traces() == []
    finally:
        other.clean_up()


def test_a_terminal_that_is_closed_ends_the_run(folder: Path) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "qwenedit.local"],
        cwd=PROJECT_ROOT,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "VAR_DIR": str(folder), "COMFYUI_URL": "", "PORT": str(unused_port())},
        start_new_session=True,
    )
    os.close(terminal)
    seen = b""
    while READY.encode() not in seen:
        seen += os.read(controller, 65536)
    os.close(controller)  # no signal comes: it is not the terminal that controls that session
    assert process.wait(110) == 0


def test_while_comfyui_does_not_answer_it_says_so_and_hides_the_credentials(start: Start) -> None:
    run = start(COMFYUI_URL=f"http://user:hunter2@{HOST}:{unused_port()}")
    run.says("waiting for the GPU")
    run.says(READY)
    assert "hunter2" not in run.output
    assert run.stop(signal.SIGTERM) == 0
    assert run.traces() == []
