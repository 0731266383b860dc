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
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from bench.stopping import end_in_order
from bench.system import PROJECT_ROOT, System, installation, wait_until
from tests.servers import SandboxServer, start_sandbox_comfyui

RESULTS = PROJECT_ROOT / "var" / "bench" / "bot.json"
PHOTO = PROJECT_ROOT / "qwenedit" / "sandbox" / "telegram" / "static" / "sample.jpg"
FIRST_USER = 50_000
PATIENCE = 300.0


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="within which everybody sends their photo"
    )
    parser.add_argument("--mode", choices=("polling", "webhook"), default="polling")
    options = parser.parse_args()
    end_in_order()
    with (
        start_sandbox_comfyui() as comfyui,
        SandboxServer("telegram") as telegram,
        installation(COMFYUI_URL=comfyui.url, TELEGRAM_API_URL=telegram.url) as system,
    ):
        receiver = _start(system, options.mode, telegram.url)
        figures = _measure(telegram.url, receiver, options.users, options.seconds) | {"mode": options.mode}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    sys.stdout.write("".join(f"{name:<22} {value}\n" for name, value in figures.items()))
    if figures["results"] != options.users or figures["doubled"]:
        raise SystemExit("Not everybody has exactly one result")


def _start(system: System, mode: str, telegram: str) -> subprocess.Popen[bytes]:
    """Start the processes of production; return the one that receives updates."""
    system.start_worker()
    system.start_beat()
    if mode == "webhook":
        receiver = system.start_web()
        system.manage("runbot", "--webhook")
    else:
        receiver = system.python("manage.py", "runbot")
    wait_until(lambda: _greeted(telegram))
    return receiver


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


def _peak_mb(pid: int) -> int:
    """Return the most memory that a process, or one it started, ever held, in MB (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return max(round(int(line.split()[1]) / 1024), *(_peak_mb(int(child)) for child in children), 0)


if __name__ == "__main__":
    main()
