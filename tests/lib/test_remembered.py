"""What a process knows for a moment."""

import pytest

from qwenedit.lib import remembered
from qwenedit.lib.remembered import Remembered


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return what it shows."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(remembered, "time", clock)
    return clock


def test_what_was_asked_is_known_for_a_moment_and_then_asked_again(clock: Clock) -> None:
    answers = iter(range(10))
    known = Remembered(lambda: next(answers), seconds=1.0)

    assert [known() for _ in range(3)] == [0, 0, 0]
    clock.now += 1.0
    assert known() == 1
    known.forget()
    assert known() == 2


def test_a_failure_is_not_remembered(clock: Clock) -> None:
    divisors = [0, 2]
    known = Remembered(lambda: 1 / divisors.pop(0), seconds=1.0)

    with pytest.raises(ZeroDivisionError):
        known()
    assert known() == 0.5
