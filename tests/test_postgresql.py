"""What a restart of PostgreSQL costs whoever asks next."""

from collections.abc import Iterator

import pytest
from django.db import DEFAULT_DB_ALIAS
from django.db.utils import ConnectionHandler
from psycopg_pool import ConnectionPool

from qwenedit import settings
from tests.postgres import PostgresServer

IDLE = 4


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test's own, to crash."""
    settings.VAR_DIR.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
    with PostgresServer(settings.VAR_DIR / "crashing-postgres") as server:
        yield server


@pytest.fixture
def pool(server: PostgresServer) -> Iterator[ConnectionPool]:
    """The pool of a process that has several idle connections."""
    wrapper = ConnectionHandler({DEFAULT_DB_ALIAS: settings._database(server.url)})[DEFAULT_DB_ALIAS]
    wrapper.pool.open()
    taken = [wrapper.pool.getconn() for _ in range(IDLE)]
    for connection in taken:
        wrapper.pool.putconn(connection)
    yield wrapper.pool
    wrapper.close_pool()


def test_after_a_restart_one_dead_connection_is_met_and_not_all_that_were_idle(
    server: PostgresServer, pool: ConnectionPool
) -> None:
    server.crash()
    server.start_again()

    for _ in range(IDLE):
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    assert pool.get_stats()["connections_lost"] == 1
