"""A short chaos: a handful of faults, one after another, and the verdict of the full suite (`make chaos`)."""

import logging
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwenedit import settings
from tests.chaos.faults import FAULTS
from tests.chaos.integrator import run_integrator
from tests.chaos.load import Load
from tests.chaos.run import Run
from tests.chaos.system import System, sandbox
from tests.chaos.verdict import Verdict

SEED = 7
PEOPLE = 5
RATE = 1.0  # orders a second
SECONDS_PER_STEP = 0.3
PATIENCE = 240.0  # whether the system recovers is judged here; how fast, by the full suite
SHORT = {
    "worker killed",
    "comfyui killed",
    "valkey emptied",
    "websockets dropped for 2 s",
    "postgresql restarted",
    "messages duplicated",
}

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL can reach, should it have to run as another user."""
    settings.VAR_DIR.chmod(0o711)
    path = settings.VAR_DIR / "chaos"
    path.mkdir(mode=0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_chaos_loses_nothing_does_nothing_twice_and_charges_nothing_wrongly(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    faults = [fault for fault in FAULTS if fault.name in SHORT]
    assert len(faults) == len(SHORT)
    nodes = sandbox(SECONDS_PER_STEP)
    with (
        run_integrator() as integrator,
        System(folder, folder, comfyui=nodes, start_timeout=PATIENCE) as system,
    ):
        people = system.make_people(PEOPLE)
        load = Load(system.web_urls, people, webhook_url=integrator.url, rate=RATE, seed=SEED)
        run = Run(system, load, chance=random.Random(SEED), patience=PATIENCE)

        run.play(faults)

        verdict = Verdict(system, load, integrator.received)
        verdict.reach()
    assert run.stuck == []
    assert run.struck.keys() == SHORT
    assert verdict.holds, "\n".join(verdict.lines())
