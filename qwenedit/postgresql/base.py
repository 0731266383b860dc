"""The engine that DATABASES names: after a restart of PostgreSQL no request waits for its dead connections.

psycopg's pool looks at an idle connection before it gives it out, and pauses after each dead one: one second,
two, four. A process that had five of them idle answers 500 ten seconds after the server is back. Where
one is dead, the others are older than the restart too: they all go at once.
"""

from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg_pool import ConnectionPool


def check_or_drain(connection: Connection[Any]) -> None:
    """Ask the server for a sign of life; without one, empty the pool of all that is idle in it, and raise."""
    try:
        ConnectionPool.check_connection(connection)
    except Exception:
        if isinstance(connection._pool, ConnectionPool):
            connection._pool.drain()
        raise


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own connection, with `check_or_drain` in its pool."""

    @property
    def pool(self) -> Any:
        """The process's pool, or None."""
        pool = super().pool
        if pool is not None:
            pool._check = check_or_drain  # Django names its own, and takes no other among the options
        return pool
