"""The ground that the tests stand on: their own folder, their own databases, nothing of the developer's."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import override_settings

from payments import triggers
from payments.models import LedgerEntry
from qwenedit import settings
from qwenedit.users.models import User
from tests import session
from tests.factories import JobFactory, UserFactory
from tests.threads import at_once
from tests.waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def test_a_session_lives_in_a_folder_of_its_own() -> None:
    assert settings.VAR_DIR != PROJECT_ROOT / "var"
    assert settings.MEDIA_ROOT.is_relative_to(settings.VAR_DIR)
    assert str(settings.EMBEDDED_VALKEY_SOCKET).startswith(str(settings.VAR_DIR))
    assert settings.DATABASES["default"]["NAME"] == str(settings.VAR_DIR / "db.sqlite3")


def test_a_process_started_by_a_test_sees_the_same_folder_and_nothing_of_the_developers() -> None:
    code = "from qwenedit import settings as s; print(s.VAR_DIR, s.DATABASE_URL, s.COMFYUI_URLS, sep='|')"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.strip() == f"{settings.VAR_DIR}||[]"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "COMFYUI_URL", "SECRET_KEY", "DEBUG"])
def test_variables_that_the_settings_read_are_blank(name: str) -> None:
    assert os.environ[name] == os.environ[f"{name}_FILE"] == ""


def test_the_variables_and_the_dotenv_of_a_developer_do_not_reach_the_tests(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests import session; from qwenedit import env;"
        "read = env.read_dotenv; env.read_dotenv = lambda path: {'COMFYUI_URL': 'nonsense'};"
        "session.isolate_environment(Path(sys.argv[1]));"
        "from qwenedit import settings; print(settings.COMFYUI_URLS, settings.DATABASE_URL);"
        "print(env.load(settings.BASE_DIR).source['COMFYUI_URL'] == '')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=PROJECT_ROOT,
        env={**os.environ, "COMFYUI_URL": "also nonsense", "DATABASE_URL": "postgres://prod/db"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.split("\n")[:2] == ["[] ", "True"]


def test_the_cache_is_the_embedded_valkey_and_starts_empty(valkey: redis.Redis) -> None:
    assert cache.get("greeting") is None
    cache.set("greeting", "hello", 60)
    assert cache.get("greeting") == "hello"


def test_the_cache_of_one_test_is_gone_in_the_next(valkey: redis.Redis) -> None:
    assert cache.get("greeting") is None


class TestEachDatabase:
    """The same code, in the same session, on both."""

    def test_runs_on_the_database_it_says(self, each_database: str) -> None:
        assert connection.vendor == each_database
        assert UserFactory.create().balance == settings.INITIAL_BALANCE

    def test_starts_with_empty_tables(self, each_database: str) -> None:
        assert not LedgerEntry.objects.exists()
        assert not User.objects.exists()

    def test_keeps_the_triggers_through_the_flush_between_tests(self, each_database: str) -> None:
        assert triggers.missing() == []

    def test_threads_use_the_same_database(self, each_database: str) -> None:
        user = UserFactory.create()

        def look() -> tuple[str, int]:
            return connection.vendor, get_user_model().objects.get().pk

        assert at_once(look, look, look) == [(each_database, user.pk)] * 3


def test_sqlite_runs_with_the_options_of_production(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert Path(str(connection.settings_dict["NAME"])).is_file()


@pytest.mark.usefixtures("db")
@override_settings(DEBUG=True)
def test_statements_are_not_remembered_on_ones_own_machine() -> None:
    connection.queries_log.clear()
    User.objects.count()
    assert connection.queries == []


@pytest.mark.postgres
@pytest.mark.processes
def test_a_process_can_use_the_same_postgresql(postgres_url: str) -> None:
    JobFactory.create()
    answer = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "shell",
            "-v0",
            "-c",
            "from jobs.models import Job; print(Job.objects.count())",
        ],
        cwd=PROJECT_ROOT,
        env={**os.environ, "DATABASE_URL": postgres_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.strip() == "1"


@pytest.mark.django_db(transaction=True)
@pytest.mark.processes
def test_a_process_can_use_the_same_sqlite() -> None:
    JobFactory.create()
    answer = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "shell",
            "-v0",
            "-c",
            "from jobs.models import Job; print(Job.objects.count())",
        ],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert answer.stdout.strip() == "1"


class TestSweepingUp:
    """What a killed session left behind goes with the next one; what lives is left alone."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        path = Path(tempfile.mkdtemp(prefix=session.PREFIX))
        yield path
        shutil.rmtree(path, ignore_errors=True)

    @staticmethod
    def inhabitant(folder: Path, *, by_variable: bool) -> "subprocess.Popen[bytes]":
        where: Any = {"env": {"VAR_DIR": str(folder)}} if by_variable else {"cwd": folder}
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, **where)

    @pytest.mark.parametrize("by_variable", [True, False])
    def test_a_folder_that_nobody_holds_goes_with_its_processes(
        self, folder: Path, by_variable: bool
    ) -> None:
        with self.inhabitant(folder, by_variable=by_variable) as process:
            self.age(folder)
            session.sweep_killed_sessions()
            assert process.wait(30) == -signal.SIGKILL
        wait_until(lambda: not folder.exists())  # the other tests sweep at the same time

    def test_a_folder_that_is_held_stays_with_its_processes(self) -> None:
        held = session.SessionFolder()
        try:
            with self.inhabitant(held.path, by_variable=False) as process:
                self.age(held.path)
                session.sweep_killed_sessions()
                assert process.poll() is None
                process.communicate(b"\n", timeout=10)
            assert held.path.exists()
        finally:
            held.remove()

    def test_a_folder_that_was_made_this_moment_stays(self, folder: Path) -> None:
        session.sweep_killed_sessions()
        assert folder.exists()

    @staticmethod
    def age(folder: Path) -> None:
        long_ago = time.time() - 2 * session.NEWBORN
        os.utime(folder, (long_ago, long_ago))
