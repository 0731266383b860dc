"""Fixtures that start local runs and let none of them outlive its test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.local.system import READY, LocalRun


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for everything local, with a path short enough for a socket."""
    return tmp_path_factory.mktemp("v")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """One run that is up, shared by the tests of a module; the last of them may stop it."""
    run = LocalRun(tmp_path_factory.mktemp("v"))
    try:
        run.says(READY)
        yield run
    finally:
        run.clean_up()


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., LocalRun]]:
    """Start the runner; arguments go to its command line, keywords to its environment."""
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> LocalRun:
            run = LocalRun(folder, *arguments, **environment)
            stack.callback(run.clean_up)
            return run

        yield start
