"""From the end of an edit on its node to the picture in the person's chat.

The end is the `execution_success` of the node's own history; the arrival is the moment at which our stand-in
of Telegram takes the bot's call with the picture. One person after another sends a photo. The direct client
fetches the result and sends it, and does nothing else. Fails where somebody has no picture, or two.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import requests

from bench.direct import DirectClient
from bench.report import Figures, Goal, percentiles, run
from bench.system import costless_comfyui, installation, picture, wait_until
from tests.servers import SandboxServer, TelegramServer, start_sandbox_telegram

FIRST_USER = 50_000
METHODS = ("sendPhoto", "sendDocument", "editMessageMedia")
GOALS = (Goal("telegram_ms_p99", 250),)


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises SystemExit where a picture is lost or doubled."""
    count = 3 if quick else 100
    with (
        costless_comfyui() as comfyui,
        start_sandbox_telegram() as telegram,
        installation(COMFYUI_URL=comfyui.url, TELEGRAM_API_URL=telegram.url) as system,
    ):
        system.start_worker()
        system.start_beat()
        system.python("manage.py", "runbot")
        _edit(telegram, FIRST_USER)  # whoever comes first waits until everything has started
        times = [
            _edit(telegram, FIRST_USER + number) - 1000 * _newest_success(comfyui)
            for number in range(1, count + 1)
        ]
        doubled = sum(len(_pictures(telegram, FIRST_USER + number)) > 1 for number in range(count + 1))
        if doubled:
            raise SystemExit(f"{doubled} people have their picture twice")
        direct = _direct(comfyui, telegram, count)
    figures = {"edits": count, **percentiles("telegram_ms", times), **percentiles("direct_ms", direct)}
    return figures | {"ratio_p50": round(figures["telegram_ms_p50"] / figures["direct_ms_p50"], 2)}


def _edit(telegram: TelegramServer, person: int) -> float:
    """Let a person send a photo; return when the picture came, in milliseconds since 1970."""
    telegram.act("user", user_id=person, first_name=f"Person {person}", language_code="en")
    photo = base64.b64encode(picture("JPEG", 256)).decode()
    telegram.act("photo", user_id=person, data=photo, caption="Make it an ink drawing")
    wait_until(lambda: _pictures(telegram, person), every=0.1)
    return 1000 * float(_pictures(telegram, person)[0]["at"])


def _pictures(telegram: TelegramServer, person: int) -> list[dict[str, Any]]:
    return [call for call in telegram.calls(chat_id=person) if call["method"] in METHODS and call["ok"]]


def _newest_success(comfyui: SandboxServer) -> float:
    """Return when the newest execution ended, in seconds since 1970."""
    [entry] = requests.get(f"{comfyui.url}/history?max_items=1", timeout=10).json().values()
    moments = {name: data.get("timestamp") for name, data in entry["status"]["messages"]}
    return float(moments["execution_success"]) / 1000


def _direct(comfyui: SandboxServer, telegram: TelegramServer, count: int) -> list[float]:
    times = []
    session = requests.Session()
    with DirectClient(comfyui.url) as client:
        for _ in range(count):
            result = client.edit(picture("JPEG", 256))
            session.post(
                f"{telegram.api_url}{telegram.token}/sendPhoto",
                data={"chat_id": FIRST_USER},
                files={"photo": ("result.png", result, "image/png")},
                timeout=30,
            ).raise_for_status()
            times.append(1000 * (time.time() - _newest_success(comfyui)))
    return times


if __name__ == "__main__":
    run("notify", measure, GOALS)
