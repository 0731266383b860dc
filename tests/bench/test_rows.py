"""Every row of the benchmarks, in its small form: it runs, and loses nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import ROWS
from bench.report import Goal, percentiles

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.processes
@pytest.mark.timeout(900)
def test_every_row_runs_and_writes_its_figures_down(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", f"--results={tmp_path}"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr[-8000:]
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert [row["name"] for row in rows] == [*ROWS]
    for row in rows:
        assert row["name"] in ended.stdout
        assert row == json.loads((tmp_path / f"{row['name']}.json").read_text())
        assert row["figures"]


@pytest.mark.processes
def test_a_comfyui_of_ones_own_takes_the_place_of_the_stand_in(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    command = (
        f"sh -c 'touch {marker} && exec {sys.executable} -m qwenedit.sandbox comfyui "
        "--port={port} --data-dir={folder} --seconds-per-step={seconds}'"
    )
    ended = _gpu_busy(tmp_path, command)

    assert ended.returncode == 0, ended.stdout + ended.stderr[-8000:]
    assert marker.exists()
    assert command in ended.stdout
    row = json.loads((tmp_path / "gpu_busy.json").read_text())
    assert row["comfyui"] == command
    assert row["figures"]["seconds_each"] >= 4 * 0.2  # the small form asks for 0.2 s, of each of four steps


@pytest.mark.processes
def test_a_comfyui_that_does_not_start_is_told_with_its_command(tmp_path: Path) -> None:
    ended = _gpu_busy(tmp_path, "sh -c 'exit 3' {port}")

    assert ended.returncode == 1
    assert "exit 3" in ended.stderr
    assert "ended with 3" in ended.stderr


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("python main.py", "the command has no {port}"),
        ("${X} --port {port}", "braces"),
        ("{ {port}", "braces"),
    ],
)
def test_a_command_that_can_not_be_filled_in_is_refused(tmp_path: Path, command: str, reason: str) -> None:
    ended = _gpu_busy(tmp_path, command)

    assert ended.returncode == 2
    assert reason in ended.stderr


def _gpu_busy(results: Path, comfyui: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu_busy", "--quick", f"--results={results}", f"--comfyui={comfyui}"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_missed_goal_is_told_and_a_reached_one_too() -> None:
    figures = percentiles("wait_ms", [1, 2, 3, 4, 100])
    assert figures == {"wait_ms_p50": 3, "wait_ms_p99": 100}
    assert Goal("wait_ms_p50", 3).verdict(figures)["holds"] is True
    assert Goal("wait_ms_p99", 50).verdict(figures)["holds"] is False
    assert Goal("wait_ms_p50", 4, least=True).verdict(figures)["holds"] is False
