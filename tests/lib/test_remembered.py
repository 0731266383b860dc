"""What a process knows for a moment."""

import time

from qwenedit.lib.remembered import Remembered


def test_what_was_asked_is_known_for_a_moment_and_then_asked_again() -> None:
    answers = iter(range(10))
    known = Remembered(lambda: next(answers), seconds=0.2)

    assert [known() for _ in range(3)] == [0, 0, 0]
    time.sleep(0.25)  # the time it counts
    assert known() == 1
    known.forget()
    assert known() == 2


def test_a_failure_is_not_remembered() -> None:
    answers = [7]
    known = Remembered(lambda: answers.pop(), seconds=60)
    known()
    known.forget()

    for _ in range(2):
        try:
            known()
        except IndexError:
            answers.append(8)

    assert known() == 8
