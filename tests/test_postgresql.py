"""What a restart of PostgreSQL costs whoever asks next."""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import pytest
from django.db import DEFAULT_DB_ALIAS
from django.db.utils import ConnectionHandler
from psycopg_pool import ConnectionPool

from qwenedit import settings
from qwenedit.postgresql import base
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


@pytest.mark.parametrize("trusted_for", [0.0, 60.0])
def test_after_a_restart_one_dead_connection_is_met_and_not_all_that_were_idle(
    server: PostgresServer, pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, trusted_for: float
) -> None:
    monkeypatch.setattr(base, "TRUSTED_FOR", trusted_for)
    for connection in [pool.getconn() for _ in range(IDLE)]:
        pool.putconn(connection)
    server.crash()
    server.start_again()

    for _ in range(IDLE):
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)

    assert pool.get_stats()["connections_lost"] == 1


def test_a_connection_that_has_just_answered_is_not_asked_again(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    ask = ConnectionPool.check_connection
    monkeypatch.setattr(
        ConnectionPool, "check_connection", lambda connection: [asked.append(1), ask(connection)]
    )
    monkeypatch.setattr(base, "TRUSTED_FOR", 60.0)
    monkeypatch.setattr(base, "_trusted_until", WeakKeyDictionary())

    for _ in range(2 * IDLE):
        with pool.connection():
            pass

    assert len(asked) == IDLE
