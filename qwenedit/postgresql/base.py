"""The engine that DATABASES names: after a restart of PostgreSQL no request waits for its dead connections.

A connection is asked for a sign of life before it is given out, but not every time: a server that goes away
says so, unless its whole machine does, and that is not back within a second.

psycopg's pool looks at an idle connection before it gives it out, and pauses after each dead one: one second,
two, four. A process that had five of them idle answers 500 ten seconds after the server is back. Where
one is dead, the others are older than the restart too: they all go at once.
"""

import select
import time
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg_pool import ConnectionPool

TRUSTED_FOR = 1.0  # seconds

_trusted_until: WeakKeyDictionary[Connection[Any], float] = WeakKeyDictionary()


def check_or_drain(connection: Connection[Any]) -> None:
    """Ask the server for a sign of life; without one, empty the pool of all that is idle in it, and raise.

    One that was given within TRUSTED_FOR counts, if the server has sent nothing since: it says farewell.
    """
    now = time.monotonic()
    try:
        if now < _trusted_until.get(connection, now) and not _has_sent(connection):
            return
        ConnectionPool.check_connection(connection)
    except Exception:
        if isinstance(connection._pool, ConnectionPool):
            connection._pool.drain()
        raise
    _trusted_until[connection] = now + TRUSTED_FOR


def _has_sent(connection: Connection[Any]) -> bool:
    """Return whether something lies unread that nobody has asked for."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own connection, with `check_or_drain` in its pool."""

    @property
    def pool(self) -> Any:
        """The process's pool, or None."""
        pool = super().pool
        if pool is not None:
            pool._check = check_or_drain  # Django names its own, and takes no other among the options
        return pool
