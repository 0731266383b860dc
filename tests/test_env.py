"""Reading the environment: every bad value is named at once, none is guessed, no secret is shown."""

import os
import subprocess
import sys
from datetime import time
from pathlib import Path

import pytest

from qwenedit.env import BadEnvironment, Environment, load, read_dotenv

PROJECT_ROOT = Path(__file__).resolve().parent.parent


def test_values_are_read_with_their_types() -> None:
    env = Environment(
        {
            "NAME": "Ann",
            "COUNT": "3",
            "RATE": "0.5",
            "ON": "yes",
            "AT": "20:30",
            "HOSTS": "a, b,,",
            "MODE": "JSON",
        }
    )
    assert env.text("NAME") == "Ann"
    assert env.integer("COUNT", 1) == 3
    assert env.number("RATE", 1) == 0.5
    assert env.boolean("ON", False) is True
    assert env.clock("AT", "10:00") == time(20, 30)
    assert env.words("HOSTS") == ["a", "b"]
    assert env.choice("MODE", "text", ("text", "json")) == "json"
    env.check()


def test_an_absent_or_empty_value_means_its_default() -> None:
    env = Environment({"COUNT": "", "ON": "  "})
    assert env.integer("COUNT", 7) == 7
    assert env.boolean("ON", True) is True
    assert env.text("NAME", "nobody") == "nobody"
    assert env.urls("NODES") == []
    env.check()


def test_every_bad_value_is_named_at_once() -> None:
    env = Environment(
        {"ON": "maybe", "COUNT": "three", "LOW": "0", "HIGH": "70000", "AT": "25:00", "NODE": "gpu:8188"}
    )
    env.boolean("ON", False)
    env.integer("COUNT", 1)
    env.integer("LOW", 1, minimum=1)
    env.integer("HIGH", 1, maximum=65535)
    env.clock("AT", "10:00")
    env.url("NODE")
    with pytest.raises(BadEnvironment) as stopped:
        env.check()
    message = str(stopped.value)
    assert "6 bad value(s)" in message
    for expected in (
        "ON=maybe: use true or false",
        "COUNT=three: use a whole number",
        "LOW=0: must be at least 1",
        "HIGH=70000: must be at least 0 and at most 65535",
        "AT=25:00: use a time such as 20:00",
        "NODE=gpu:8188: use an address such as http://host:port",
    ):
        assert expected in message


@pytest.mark.parametrize("raw", ["nan", "inf", "-1", "1,5"])
def test_a_number_out_of_bounds_is_bad(raw: str) -> None:
    env = Environment({"RATE": raw})
    env.number("RATE", 1)
    with pytest.raises(BadEnvironment, match="RATE="):
        env.check()


@pytest.mark.parametrize(
    "raw",
    ["http://", "gpu.example", "ftp://gpu.example", "http://gpu:port", "http://[::1", "http://gpu:99999"],
)
def test_a_bad_address_in_a_list_is_bad(raw: str) -> None:
    env = Environment({"NODES": f"http://gpu-1:8188, {raw}"})
    env.urls("NODES")
    with pytest.raises(BadEnvironment, match="NODES="):
        env.check()


def test_addresses_keep_their_order_each_once_without_the_last_slash() -> None:
    env = Environment({"NODES": "http://b:1/, http://a:1 ,http://b:1"})
    assert env.urls("NODES") == ["http://b:1", "http://a:1"]


@pytest.mark.parametrize(
    "name", ["BOT_TOKEN", "YOOKASSA_SECRET_KEY", "DB_PASSWORD", "SENTRY_DSN", "DATABASE_URL"]
)
def test_a_bad_secret_is_named_but_not_shown(name: str) -> None:
    env = Environment({name: "user:hunter2@host"})
    env.url(name)
    with pytest.raises(BadEnvironment) as stopped:
        env.check()
    assert f"{name}=(hidden)" in str(stopped.value)
    assert "hunter2" not in str(stopped.value)


def test_a_secret_can_be_mounted_as_a_file(tmp_path: Path) -> None:
    mounted = tmp_path / "token"
    mounted.write_text("s3cret\n", encoding="utf-8")
    assert Environment({"TOKEN_FILE": str(mounted)}).secret("TOKEN") == "s3cret"
    assert Environment({"TOKEN_FILE": str(mounted), "TOKEN": "direct"}).secret("TOKEN") == "direct"


def test_a_secret_file_that_is_not_there_is_bad(tmp_path: Path) -> None:
    env = Environment({"TOKEN_FILE": str(tmp_path / "absent")})
    env.secret("TOKEN")
    with pytest.raises(BadEnvironment, match=r"TOKEN_FILE=.*can not be read"):
        env.check()


def test_a_dotenv_file_is_read_without_expanding_anything(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "# a comment\n"
        "PLAIN=one\n"
        "export EXPORTED=two\n"
        "SINGLE='# three $HOME'\n"
        'DOUBLE="four = 4"\n'
        "NOTED=five  # the rest is a comment\n"
        "HASH=six#6\n"
        "EMPTY=\n"
        "no assignment here\n",
        encoding="utf-8",
    )
    assert read_dotenv(dotenv) == {
        "PLAIN": "one",
        "EXPORTED": "two",
        "SINGLE": "# three $HOME",
        "DOUBLE": "four = 4",
        "NOTED": "five",
        "HASH": "six#6",
        "EMPTY": "",
    }


def test_the_process_environment_wins_over_the_dotenv_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SHARED=file\nONLY_FILE=file\n", encoding="utf-8")
    monkeypatch.setenv("SHARED", "process")
    env = load(tmp_path)
    assert env.text("SHARED") == "process"
    assert env.text("ONLY_FILE") == "file"


def test_what_was_read_is_remembered_for_the_documentation() -> None:
    env = Environment({})
    env.integer("COUNT", 3, "How many")
    env.text("FOLDER", "/srv/app/var", "Where", shown="`var/`")
    env.secret("TOKEN", "Opens the door")
    assert [(one.name, one.default, one.help) for one in env.declared] == [
        ("COUNT", "3", "How many"),
        ("FOLDER", "`var/`", "Where"),
        ("TOKEN", "–", "Opens the door"),
    ]


@pytest.mark.processes
def test_the_start_of_the_project_stops_with_the_whole_list_and_no_traceback(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import qwenedit.settings"],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "VAR_DIR": str(tmp_path),
            "DEBUG": "false",
            "SECRET_KEY": "",
            "WORKER_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "WORKER_THREADS=1: must be at least 2" in ended.stderr
    assert "SECRET_KEY: required while DEBUG is off" in ended.stderr
