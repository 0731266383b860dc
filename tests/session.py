"""The folder that one test session lives in, and the environment it sees.

Owns: a temporary VAR_DIR, so that tests never touch what `make run` keeps in the same clone; hiding the
developer's variables and `.env` from the tests and from every process they start; sweeping up after
sessions that were killed. Must not know Django's models, nor what the tests do.
"""

import fcntl
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from unittest.mock import patch

import psutil

from qwenedit import env

SETTINGS = "qwenedit.settings"
PREFIX = "qwenedit-test-"  # short: sockets live below it, and their paths have little room
NEWBORN = 60  # seconds in which a folder without a lock may still be getting one


class SessionFolder:
    """A temporary folder that is ours while we hold its lock; the kernel drops the lock with the process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Delete the folder with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def isolate_environment(folder: Path) -> None:
    """Point VAR_DIR to `folder` and blank every other variable that the settings read.

    Blank rather than removed: an empty variable means its default, and wins over what `.env` says, also in
    the processes that tests start.
    """
    loaded = sys.modules.get(SETTINGS)
    ours = {"VAR_DIR": str(folder)}
    with patch.object(env, "load", lambda _base: env.Environment(ours)):
        settings: Any = importlib.reload(loaded) if loaded else importlib.import_module(SETTINGS)
    for variable in settings.env.declared:
        os.environ[variable.name] = os.environ[f"{variable.name}_FILE"] = ""
    os.environ |= ours | {"DJANGO_SETTINGS_MODULE": SETTINGS}
    # The test database is the file that processes started by a test open too: they share VAR_DIR.
    settings.DATABASES["default"]["TEST"] = {"NAME": str(folder / "db.sqlite3")}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if loaded:
        _forget_earlier_settings()


def _forget_earlier_settings() -> None:
    """Make Django read its settings again: pytest-django loads them before it loads any conftest."""
    from django.conf import settings
    from django.db import connections
    from django.utils.functional import empty

    settings._wrapped = empty
    handler: Any = connections
    for alias in handler:
        if hasattr(handler._connections, alias):
            del handler[alias]
    handler._settings = None
    del handler.settings


def end_on_sigterm() -> None:
    """Treat SIGTERM as Ctrl-C, so that fixtures stop the processes they started."""

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def sweep_killed_sessions() -> None:
    """End what sessions that were killed have left running, and delete their folders."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            stat = folder.stat()
            if stat.st_uid != os.getuid() or time.time() - stat.st_mtime < NEWBORN:
                continue
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            _kill_inhabitants(folder)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _kill_inhabitants(folder: Path) -> None:
    for process in psutil.process_iter():
        try:
            at_home = Path(process.cwd()).is_relative_to(folder)
            if process.pid != os.getpid() and (at_home or process.environ().get("VAR_DIR") == str(folder)):
                process.kill()
        except (psutil.Error, OSError):
            continue
