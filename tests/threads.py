"""Things done at once, by real threads that leave no database connection open."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

T = TypeVar("T")
PATIENCE = 60.0


def at_once(*actions: Callable[[], T]) -> list[T | BaseException]:
    """Run every action in a thread of its own, released together; return results and exceptions in order."""
    gate = threading.Barrier(len(actions))

    def run(action: Callable[[], T]) -> T | BaseException:
        try:
            connections["default"].ensure_connection()
            gate.wait(PATIENCE)
            return action()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions, timeout=PATIENCE))


def errors(outcomes: Sequence[object]) -> list[BaseException]:
    """Return the exceptions among what `at_once` returned."""
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
