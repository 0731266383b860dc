"""The installation step, in folders of its own; an empty list of packages needs no network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local.system import PROJECT_ROOT

pytestmark = pytest.mark.processes


def install(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "qwenedit.local.install", "requirements.txt"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def first_time(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the step was taken once, and what it said."""
    folder = tmp_path_factory.mktemp("installed")
    (folder / "requirements.txt").write_text("# nothing yet\n")
    return folder, finish(install(folder))


@pytest.fixture
def installed(first_time: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(first_time[0], tmp_path / "installed", symlinks=True)


def test_it_installs_once_and_again_only_when_the_list_changes(
    first_time: tuple[Path, str], installed: Path
) -> None:
    assert "Making the virtual environment" in first_time[1]
    assert (installed / ".venv" / ".installed").is_file()
    assert finish(install(installed)) == ""
    (installed / "requirements.txt").write_text("# changed\n")
    output = finish(install(installed))
    assert "Installing the packages of requirements.txt" in output
    assert "Making" not in output


def test_two_at_once_do_the_work_once(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# nothing yet\n")
    both = [install(tmp_path), install(tmp_path)]
    outputs = [finish(process) for process in both]
    assert sum("Making the virtual environment" in output for output in outputs) == 1


def test_an_environment_whose_python_is_gone_is_made_anew(installed: Path) -> None:
    for python in (installed / ".venv" / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/nowhere/python3")
    assert "Making the virtual environment" in finish(install(installed))


def test_a_package_that_can_not_be_installed_is_an_error_and_tried_again(installed: Path) -> None:
    (installed / "requirements.txt").write_text("./absent.whl --hash=sha256:" + "0" * 64 + "\n")
    for _ in range(2):
        process = install(installed)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "This step failed" in output
        assert "Traceback" not in output
