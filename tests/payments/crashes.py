"""A process that dies at a boundary: before or after a commit, a write of its own, or a call of the gateway.

What was committed stays and what was not is gone. `Crash` interrupts the code under test past every
`except Exception`, rolling back the transaction that it hits, and leaves it where a killed process would.
Inside a test's own transaction the outermost savepoints of the code under test stand for its transactions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from unittest import mock

from django.db import connection
from django.db.transaction import Atomic

from payments.gateways.yookassa_transport import Answer, ShopClient

PLACES = ("a commit", "a write", "a call")
WRITES = ("INSERT", "UPDATE", "DELETE")
leave_atomic = Atomic.__exit__
call_the_shop = ShopClient.execute


class Crash(BaseException):
    """The process is dead."""


class Fuse:
    """Burns down from boundary to boundary while a process lives; at its end the process dies.

    `crashes` counts the deaths by where they happened.
    """

    def __init__(self) -> None:
        self.crashes: Counter[str] = Counter()
        self._left: int | None = None
        self._lives = False

    def light(self, boundaries: int) -> None:
        """Let the process die once so many boundaries have been passed."""
        self._left = boundaries

    @contextmanager
    def process(self) -> Iterator[None]:
        """Run what a process of ours does; should it die, go on behind the block with another one."""
        self._lives = True
        try:
            yield
        except Crash:
            pass
        finally:
            self._lives = False

    def burn(self, place: str) -> None:
        """Pass a boundary. Raises Crash."""
        if not self._lives or self._left is None:
            return
        if self._left:
            self._left -= 1
            return
        self._left = None
        self.crashes[place] += 1
        raise Crash(place)


@contextmanager
def boundaries() -> Iterator[Fuse]:
    """Make commits, writes and calls boundaries at which the process of this thread may die."""
    fuse, outside = Fuse(), _depth()

    def leave(
        atomic: Atomic,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_commit = kind is None and _depth() == outside + 1
        if is_commit:
            try:
                fuse.burn("before a commit")
            except Crash as crash:
                leave_atomic(atomic, Crash, crash, crash.__traceback__)
                raise
        leave_atomic(atomic, kind, error, trace)
        if is_commit:
            fuse.burn("after a commit")

    def write(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        # What runs in no transaction of the code under test is one of its own.
        commits_itself = _depth() == outside and sql.startswith(WRITES)
        if commits_itself:
            fuse.burn("before a write")
        result = execute(sql, *arguments)
        if commits_itself:
            fuse.burn("after a write")
        return result

    def call(client: ShopClient, *arguments: Any) -> Answer:
        fuse.burn("before a call")
        answer = call_the_shop(client, *arguments)
        fuse.burn("after a call")
        return answer

    with (
        mock.patch.object(Atomic, "__exit__", leave),
        mock.patch.object(ShopClient, "execute", call),
        connection.execute_wrapper(write),
    ):
        yield fuse


def _depth() -> int:
    return len(connection.savepoint_ids) + connection.in_atomic_block
