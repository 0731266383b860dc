"""The databases of tests: SQLite in a file, PostgreSQL for tests that are marked so, and the embedded Valkey.

A test marked `postgres` runs in the same session with Django's default connection swapped for a real
PostgreSQL, in every thread, and with real transactions. `each_database` runs a test on both.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper as PostgresWrapper
from django.db.backends.sqlite3.base import DatabaseOperations as SQLiteOperations
from django.db.utils import ConnectionHandler
from pytest_django import DjangoDbBlocker

from jobs import estimates, nodes
from payments import triggers
from qwenedit import embedded, settings
from tests.postgres import PostgresServer

MOST_CONNECTIONS = 150  # tests start more threads at once than a process of ours has
PATIENCE = 60  # seconds: none of these tests is about a database that does not answer
GOODBYE_TIMEOUT = 60.0  # seconds a closed connection may take to leave PostgreSQL's list
flush_of_django = SQLiteOperations.sql_flush


def flush_past_the_triggers(
    operations: SQLiteOperations, style: Any, tables: list[str], **options: Any
) -> list[str]:
    """Empty tables as Django does between tests, also those that refuse DELETE.

    SQLite knows no TRUNCATE: ours is the one flush that makes the triggers step aside, and puts them back in
    the same transaction.
    """
    statements: list[str] = flush_of_django(operations, style, tables, **options)
    if triggers.TABLE not in tables:
        return statements
    drops = [f"DROP TRIGGER IF EXISTS {name}" for name in triggers.names(operations.connection)]
    return [*drops, *statements, *triggers.statements(operations.connection)]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give tests marked `postgres` real transactions on it; the swap comes before any other fixture."""
    if isinstance(item, pytest.Function) and item.get_closest_marker("postgres"):
        item.add_marker(pytest.mark.django_db(transaction=True), append=False)
        item.fixturenames = ["postgres", *item.fixturenames]  # a new list: parametrised tests share theirs


@pytest.fixture(scope="session")
def django_db_modify_db_settings_parallel_suffix() -> None:
    """Keep the database's name: each worker of xdist has a folder of its own."""


@pytest.fixture(scope="session", autouse=True)
def _flush_past_the_triggers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLiteOperations, "sql_flush", flush_past_the_triggers)
        yield


@pytest.fixture(scope="session")
def _valkey_client() -> Iterator[redis.Redis]:
    client = redis.Redis(unix_socket_path=str(settings.EMBEDDED_VALKEY_SOCKET))
    yield client
    client.close()


@pytest.fixture
def valkey(_valkey_client: redis.Redis) -> redis.Redis:
    """The embedded Valkey that cache and broker use, empty."""
    embedded.ensure()  # the first time; again where a test before this one has killed it
    _valkey_client.flushall()
    nodes.forget_all()  # what this process remembers of the cache
    estimates.known_fleet.forget()
    estimates.known_far.forget()
    estimates.known_at_work.forget()
    return _valkey_client


@pytest.fixture(autouse=True)
def _valkey_beside_the_database(request: pytest.FixtureRequest) -> None:
    """Code that writes rows also asks the cache and publishes wake-ups: as in production, both are there."""
    in_use = {"db", "transactional_db", "live_server"} & {*request.fixturenames}
    if in_use or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("valkey")


@pytest.fixture(scope="session")
def _postgres_database(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[tuple[str, dict[str, Any]]]:
    settings.VAR_DIR.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
    # Without autovacuum nothing but the tests moves rows or holds a snapshot.
    with PostgresServer(settings.VAR_DIR / "postgres", {"autovacuum": "off"}) as server:
        # Through the function that reads DATABASE_URL, so that tests run with the options of production.
        handler = ConnectionHandler({DEFAULT_DB_ALIAS: settings._database(server.url)})
        database = handler.settings[DEFAULT_DB_ALIAS]
        patient = {"max_size": MOST_CONNECTIONS, "timeout": PATIENCE, "reconnect_timeout": PATIENCE}
        database["OPTIONS"]["pool"] = database["OPTIONS"]["pool"] | patient
        database["OPTIONS"]["connect_timeout"] = PATIENCE
        with django_db_blocker.unblock(), _default_connection(database):
            call_command("migrate", interactive=False, verbosity=0)
        yield server.url, database


@pytest.fixture
def postgres(
    _postgres_database: tuple[str, dict[str, Any]], django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Run this test, and the threads it starts, on PostgreSQL. Set up first in tests marked `postgres`."""
    _url, database = _postgres_database
    with _default_connection(database):
        yield
        with django_db_blocker.unblock():
            _await_no_other_connection()


@pytest.fixture
def postgres_url(_postgres_database: tuple[str, dict[str, Any]], postgres: None) -> str:
    """DATABASE_URL for processes that a test marked `postgres` starts."""
    return _postgres_database[0]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def each_database(request: pytest.FixtureRequest, transactional_db: None) -> str:
    """Run the test on SQLite and on PostgreSQL, with real transactions; say which it is."""
    vendor: str = request.param
    assert connection.vendor == vendor
    return vendor


@contextmanager
def _default_connection(database: dict[str, Any]) -> Iterator[None]:
    """Make `database` the default connection: of this thread, and of every thread started meanwhile."""
    usual_database, usual_wrapper = connections.settings[DEFAULT_DB_ALIAS], connections[DEFAULT_DB_ALIAS]
    connections.settings[DEFAULT_DB_ALIAS] = database
    del connections[DEFAULT_DB_ALIAS]
    ContentType.objects.clear_cache()
    try:
        yield
    finally:
        _close_pool()
        connections.settings[DEFAULT_DB_ALIAS] = usual_database
        connections[DEFAULT_DB_ALIAS] = usual_wrapper
        ContentType.objects.clear_cache()


def _await_no_other_connection() -> None:
    _close_pool()  # what a thread has not given back stays open
    deadline = time.monotonic() + GOODBYE_TIMEOUT
    others = _other_connections()
    while others and time.monotonic() < deadline:
        time.sleep(0.02)
        others = _other_connections()
    assert not others, f"{others} connections of threads or processes were left open"


def _close_pool() -> None:
    wrapper = connections[DEFAULT_DB_ALIAS]
    wrapper.close()
    if isinstance(wrapper, PostgresWrapper):
        wrapper.close_pool()


def _other_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        count: int = cursor.fetchone()[0]
    return count
