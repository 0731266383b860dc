"""The clock, which no test kills."""

from collections.abc import Iterator

import pytest

from qwenedit import embedded
from tests.flows.processes import ServiceProcess


@pytest.fixture(scope="module")
def beat() -> Iterator[ServiceProcess]:
    """The clock that sends the sweeps, from the first test of a module that needs it to the last."""
    embedded.ensure()
    with ServiceProcess("beat") as process:
        yield process
