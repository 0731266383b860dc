"""Many people sending a photo at once: how soon each is answered, and what becomes of every photo.

    python -m bench.bot --users 200 --seconds 10 [--mode webhook]

The whole system runs as its own processes on a PostgreSQL of its own, beside the stand-ins of Telegram and
ComfyUI on the same machine. Each person sends one photo with a caption at a moment of their own within
`--seconds`. Answered: from the moment the stand-in has the update to the bot's first message to that person.
Fails where somebody has no result, or more than one. Writes its figures to `var/bench/bot.json`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.postgres import PostgresServer
from tests.servers import SandboxServer, start_sandbox_comfyui

PROJECT_ROOT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT_ROOT / "var" / "bench" / "bot.json"
PHOTO = PROJECT_ROOT / "qwenedit" / "sandbox" / "telegram" / "static" / "sample.jpg"
FIRST_USER = 50_000
PATIENCE = 300.0
PORT = 8765
WEB_PROCESSES = 2  # as in the Procfile
READY_TIMEOUT = 60.0


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="within which everybody sends their photo"
    )
    parser.add_argument("--mode", choices=("polling", "webhook"), default="polling")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qwenedit-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
        database = stack.enter_context(PostgresServer(folder / "postgres"))
        comfyui = stack.enter_context(start_sandbox_comfyui())
        telegram = stack.enter_context(SandboxServer("telegram"))
        environment = os.environ | {
            "DATABASE_URL": database.url,
            "VAR_DIR": str(folder / "var"),
            "COMFYUI_URL": comfyui.url,
            "TELEGRAM_API_URL": telegram.url,
            "PUBLIC_URL": f"http://127.0.0.1:{PORT}",
            "DEBUG": "false",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "LOG_LEVEL": "warning",
        }
        receiver = stack.enter_context(_system(environment, options.mode, telegram.url))
        figures = _measure(telegram.url, receiver, options.users, options.seconds) | {"mode": options.mode}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    sys.stdout.write("".join(f"{name:<22} {value}\n" for name, value in figures.items()))
    if figures["results"] != options.users or figures["doubled"]:
        raise SystemExit("Not everybody has exactly one result")


@contextmanager
def _system(environment: dict[str, str], mode: str, telegram: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the processes of production; yield the one that receives updates."""

    def python(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment)  # noqa: S603
        running.append(process)
        return process

    running: list[subprocess.Popen[bytes]] = []
    manage = str(PROJECT_ROOT / "manage.py")
    try:
        if python(manage, "prepare").wait():
            raise SystemExit("The database could not be prepared")
        python("-m", "celery", "-q", "-A", "celery_worker", "worker", "--without-mingle", "--without-gossip")
        python("-m", "qwenedit.beat")
        if mode == "webhook":
            web = ("uvicorn", "qwenedit.asgi:application", f"--port={PORT}", "--log-level=warning")
            receiver = python("-m", *web, "--no-access-log", f"--workers={WEB_PROCESSES}")
            _wait(lambda: requests.get(f"http://127.0.0.1:{PORT}/healthz", timeout=5).ok)
            python(manage, "runbot", "--webhook").wait()
        else:
            receiver = python(manage, "runbot")
        _wait(lambda: _greeted(telegram))
        yield receiver
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(20)


def _greeted(telegram: str) -> bool:
    """Tell whether the bot answers, by a person who is in none of the figures."""
    _act(telegram, "user", user_id=FIRST_USER - 1, first_name="First")
    _act(telegram, "message", user_id=FIRST_USER - 1, text="/start")
    time.sleep(1)
    return any(call["ok"] for call in _calls(telegram, FIRST_USER - 1))


def _measure(telegram: str, receiver: subprocess.Popen[bytes], users: int, seconds: float) -> dict[str, Any]:
    people = range(FIRST_USER, FIRST_USER + users)
    for person in people:
        _act(telegram, "user", user_id=person, first_name=f"Person {person}", language_code="en")
    photo = base64.b64encode(PHOTO.read_bytes()).decode()
    started = time.time() + 1.0

    def send(number: int) -> float:
        time.sleep(max(0.0, started + number * seconds / users - time.time()))
        _act(telegram, "photo", user_id=FIRST_USER + number, data=photo, caption="Make it an ink drawing")
        return time.time()

    with ThreadPoolExecutor(16) as pool:
        sent = list(pool.map(send, range(users)))
    deadline = time.time() + PATIENCE
    while True:
        results = {person: _pictures(telegram, person) for person in people}
        if all(results.values()) or time.time() > deadline:
            break
        time.sleep(2)
    finished = time.time()
    waits = sorted(
        1000 * (_calls(telegram, person)[0]["at"] - moment)
        for person, moment in zip(people, sent, strict=True)
        if _calls(telegram, person)
    )
    return {
        "users": users,
        "within_seconds": seconds,
        "answered": len(waits),
        "answered_ms_p50": round(statistics.median(waits)),
        "answered_ms_p99": round(waits[int(0.99 * (len(waits) - 1))]),
        "answered_ms_max": round(waits[-1]),
        "results": sum(bool(count) for count in results.values()),
        "doubled": sum(count > 1 for count in results.values()),
        "all_done_seconds": round(finished - started, 1),
        "receiver_peak_mb": _peak_mb(receiver.pid),
        "cpus": len(os.sched_getaffinity(0)),
    }


def _pictures(telegram: str, person: int) -> int:
    """Return how many pictures the bot has shown somebody: sent, or edited into a message."""
    answer = requests.get(f"{telegram}/sandbox/chats/{person}", timeout=30).json()
    return sum(message["from"] == "bot" and bool(message.get("photo")) for message in answer["messages"])


def _calls(telegram: str, person: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(
        f"{telegram}/sandbox/calls", params={"chat_id": person, "method": "sendMessage"}, timeout=30
    ).json()
    return found


def _act(telegram: str, action: str, **arguments: Any) -> dict[str, Any]:
    answer = requests.post(f"{telegram}/sandbox/act", json={"action": action, **arguments}, timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def _wait(condition: Any) -> None:
    deadline = time.time() + READY_TIMEOUT
    while True:
        try:
            if condition():
                return
        except requests.RequestException:
            pass
        if time.time() > deadline:
            raise SystemExit("The system did not come up")
        time.sleep(0.2)


def _peak_mb(pid: int) -> int:
    """Return the most memory that a process, or one it started, ever held, in MB (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return max(round(int(line.split()[1]) / 1024), *(_peak_mb(int(child)) for child in children), 0)


if __name__ == "__main__":
    main()
