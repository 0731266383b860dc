"""The embedded Valkey, as real servers shared by real processes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import redis

from qwenedit.embedded import EmbeddedValkey, EmbeddedValkeyError
from tests.waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parent.parent

# Uses the server of the folder it is given until its standard input closes.
USER = """
import sys
from pathlib import Path
from qwenedit.embedded import EmbeddedValkey
valkey = EmbeddedValkey(Path(sys.argv[1]), Path(sys.argv[1]) / "valkey.sock")
valkey.ensure()
print("ready", flush=True)
sys.stdin.read()
valkey.release()
"""

pytestmark = pytest.mark.processes


def answers(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the server answers now, on a busy machine."""
    monkeypatch.setattr("qwenedit.embedded.ANSWER_TIMEOUT", 30.0)
    return valkey.answers()


class User:
    """Another process of the same installation that uses the server."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def ready(self) -> bool:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip() == "ready"

    def leave(self) -> int:
        self.process.communicate(timeout=30)
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("v")
    yield folder
    for server in servers(folder):
        server.kill()


@pytest.fixture
def valkey(folder: Path) -> Iterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(folder, folder / "valkey.sock")
    yield valkey
    valkey.release()


@pytest.fixture
def user(folder: Path) -> Iterator[Callable[..., User]]:
    with ExitStack() as stack:

        def start(**environment: str) -> User:
            user = User(folder, **environment)
            stack.callback(user.kill)
            return user

        yield start


def servers(folder: Path) -> list[psutil.Process]:
    """Find the servers of `folder`; they keep their data there, so it is where they work."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def client(valkey: EmbeddedValkey) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(valkey.path), decode_responses=True)


def test_it_starts_answers_commands_and_stops_with_its_last_user(valkey: EmbeddedValkey) -> None:
    valkey.ensure()
    with client(valkey) as connection:
        connection.set("greeting", "hello")
        assert connection.get("greeting") == "hello"
    valkey.release()
    assert not valkey.answers()
    assert servers(valkey.folder) == []


def test_it_listens_on_no_port_and_its_socket_is_for_its_user_alone(valkey: EmbeddedValkey) -> None:
    valkey.ensure()
    with client(valkey) as connection:
        assert connection.config_get("port") == {"port": "0"}
    assert valkey.path.stat().st_mode & 0o777 == 0o600
    assert valkey.folder.stat().st_mode & 0o777 == 0o700
    assert servers(valkey.folder)[0].net_connections(kind="inet") == []


def test_what_it_was_told_survives_a_stop(valkey: EmbeddedValkey) -> None:
    valkey.ensure()
    with client(valkey) as connection:
        connection.rpush("queue", "first", "second")
    valkey.release()
    valkey.ensure()
    with client(valkey) as connection:
        assert connection.lrange("queue", 0, -1) == ["first", "second"]


def test_processes_that_start_at_once_share_one_server(folder: Path, user: Callable[..., User]) -> None:
    users = [user() for _ in range(4)]
    assert all(one.ready() for one in users)
    assert len(servers(folder)) == 1


def test_it_runs_until_the_last_of_several_users_leaves(folder: Path, user: Callable[..., User]) -> None:
    first, second = user(), user()
    assert first.ready()
    assert second.ready()
    assert first.leave() == 0
    assert len(servers(folder)) == 1
    assert second.leave() == 0
    assert servers(folder) == []


def test_a_server_killed_hard_is_started_again_with_its_data(valkey: EmbeddedValkey) -> None:
    valkey.ensure()
    with client(valkey) as connection:
        connection.rpush("queue", "kept")
        connection.waitaof(1, 0, 5000)
    [server] = servers(valkey.folder)
    server.kill()
    server.wait(10)
    assert valkey.path.exists(), "a hard kill leaves the socket's file behind"
    valkey.ensure()
    with client(valkey) as connection:
        assert connection.lrange("queue", 0, -1) == ["kept"]


def test_the_server_of_a_killed_process_is_adopted_and_then_stopped(
    valkey: EmbeddedValkey, user: Callable[..., User]
) -> None:
    starter = user()
    assert starter.ready()
    [orphan] = servers(valkey.folder)
    starter.kill()
    valkey.ensure()
    assert servers(valkey.folder) == [orphan]
    valkey.release()
    wait_until(lambda: servers(valkey.folder) == [])


def test_a_server_whose_starter_died_in_the_middle_is_awaited_not_doubled(
    valkey: EmbeddedValkey, user: Callable[..., User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = EmbeddedValkey(tmp_path / "other", tmp_path / "other" / "v.sock")
    bundled.ensure()
    program = servers(bundled.folder)[0].exe()
    bundled.release()
    slow, go = tmp_path / "valkey-server", tmp_path / "go"
    os.mkfifo(go)
    slow.write_text(f'#!/bin/sh\n[ "$1" = --version ] || read _ < {go}\nexec {program} "$@"\n')
    slow.chmod(0o755)
    looks = []

    def look() -> bool:
        looks.append(EmbeddedValkey.answers(valkey))
        if len(looks) == 5:  # by then it waits
            go.write_text("\n")
        return looks[-1]

    starter = user(PATH=f"{tmp_path}:{os.environ['PATH']}")
    wait_until(lambda: len(servers(valkey.folder)) > 0)
    assert not valkey.answers()
    starter.kill()
    pid = servers(valkey.folder)[0].pid
    monkeypatch.setattr(valkey, "answers", look)
    valkey.ensure()
    assert looks[:5] == [False] * 5
    assert [server.pid for server in servers(valkey.folder)] == [pid]


def test_a_server_that_hangs_is_replaced(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    valkey.ensure()
    [hung] = servers(valkey.folder)
    monkeypatch.setattr("qwenedit.embedded.START_TIMEOUT", 5.0)
    monkeypatch.setattr("qwenedit.embedded.ANSWER_TIMEOUT", 1.0)
    hung.send_signal(signal.SIGSTOP)
    valkey.ensure()
    assert answers(valkey, monkeypatch)
    assert servers(valkey.folder) != [hung]


def test_a_file_cut_off_in_the_middle_of_a_command_loses_that_command_alone(valkey: EmbeddedValkey) -> None:
    valkey.ensure()
    with client(valkey) as connection:
        connection.rpush("queue", "whole")
    valkey.release()
    [written] = valkey.folder.glob("*/appendonly.aof.*.incr.aof")
    with written.open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$5\r\nque")
    valkey.ensure()
    with client(valkey) as connection:
        assert connection.lrange("queue", 0, -1) == ["whole"]


def test_data_that_can_not_be_read_is_set_aside(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey.ensure()
    valkey.release()
    [manifest] = valkey.folder.glob("*/appendonly.aof.manifest")
    manifest.write_text("not a manifest")
    valkey.ensure()
    assert answers(valkey, monkeypatch)
    assert [path.read_text() for path in valkey.folder.glob("*.unreadable/*.manifest")] == ["not a manifest"]


def test_a_program_that_can_not_run_gives_way_to_the_bundled_one(
    valkey: EmbeddedValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] || exit 1\necho "Valkey server v=8.0.1"\n')
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    valkey.ensure()
    assert answers(valkey, monkeypatch)


def test_a_redis_too_old_for_our_clients_is_passed_over(
    valkey: EmbeddedValkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || touch {tmp_path}/used\necho "Redis server v=5.0.7 sha=0"\n'
    )
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    valkey.ensure()
    assert answers(valkey, monkeypatch)
    assert not (tmp_path / "used").exists()


def test_without_any_program_it_says_what_to_do(
    valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenedit.embedded.find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(EmbeddedValkeyError, match="or set REDIS_URL"):
        valkey.ensure()
