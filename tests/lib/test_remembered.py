"""What a process knows for a moment."""

import pytest

from qwenedit.lib import remembered
from qwenedit.lib.remembered import Remembered, RememberedEach


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


def test_each_answer_is_known_for_a_moment_of_its_own(clock: Clock) -> None:
    known: RememberedEach[int, str] = RememberedEach(seconds=1.0, most=10)

    known.put(1, "one")
    clock.now += 0.5
    known.put(2, "two")
    assert [known.get(key) for key in (1, 2, 3)] == ["one", "two", None]
    clock.now += 0.5
    assert [known.get(key) for key in (1, 2)] == [None, "two"]
    known.forget()
    assert known.get(2) is None


def test_no_more_answers_are_kept_than_allowed(clock: Clock) -> None:
    known: RememberedEach[int, int] = RememberedEach(seconds=1.0, most=3)

    for key in range(10):
        known.put(key, key)
        assert known.get(key) == key
        assert sum(known.get(other) is not None for other in range(10)) <= 3
