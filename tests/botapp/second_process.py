"""A second process of ours, on the same database and Valkey, that talks to the same sandbox Telegram."""

import os
import subprocess
import sys

from qwenedit import settings

PATIENCE = 30.0  # seconds to wait for Valkey on a busy machine
PROLOGUE = f"""
import django; django.setup()
from botapp.outbox import pace; pace.TIMEOUT = {PATIENCE}
"""


def start(code: str, *, telegram_url: str, **environment: str) -> "subprocess.Popen[str]":
    """Start Python with Django set up and let it run `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + code],
        cwd=settings.BASE_DIR,
        env=os.environ | {"TELEGRAM_API_URL": telegram_url} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(code: str, *, telegram_url: str, **environment: str) -> str:
    """Run `code` in a process of its own and return what it prints."""
    with start(code, telegram_url=telegram_url, **environment) as process:
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 0
    return printed.strip()
