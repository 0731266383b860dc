"""From the end of an edit on its node to the picture in the person's chat, and to the integrator's webhook.

The end is the `execution_success` of the node's own history; the arrival is the moment at which our stand-in
of Telegram takes the bot's call with the picture, or an integrator's server the whole signed request. One
person after another sends a photo, then one edit after another is submitted by the REST API. The direct
client fetches the result and sends it, and does nothing else; its webhook is one POST over a connection that
stays open. Fails where somebody has no picture or no webhook, or two, or a signature is wrong.
"""

from __future__ import annotations

import base64
import time
from typing import Any

import requests

from bench.comfyui import costless_comfyui
from bench.direct import DirectClient
from bench.pictures import picture
from bench.report import Figures, Goal, percentiles, run
from bench.system import System, installation, wait_until
from tests.servers import TelegramServer, start_sandbox_telegram
from tests.webhooks.receiver import Received, Receiver, run_receiver, verified

FIRST_USER = 50_000
METHODS = ("sendPhoto", "sendDocument", "editMessageMedia")
GOALS = (Goal("telegram_ms_p99", 250), Goal("webhook_ms_p99", 250))


def measure(quick: bool) -> Figures:  # noqa: FBT001
    """Return the figures; raises SystemExit where news is lost, doubled or signed wrongly."""
    count = 3 if quick else 100
    with (
        costless_comfyui() as comfyui,
        start_sandbox_telegram() as telegram,
        run_receiver() as receiver,
        installation(
            COMFYUI_URL=comfyui,
            TELEGRAM_API_URL=telegram.url,
            INITIAL_BALANCE="100000",
            WEBHOOK_ALLOW_PRIVATE_NETWORKS="true",
        ) as system,
    ):
        system.set_up_django()
        system.start_worker()
        system.start_beat()
        system.python("manage.py", "runbot")
        pictures = _pictures_sent(comfyui, telegram, count)
        system.start_web()
        webhooks = _webhooks_sent(system, comfyui, receiver, count)
        direct = _direct(comfyui, telegram, receiver, count)
    figures = {"edits": count, **percentiles("telegram_ms", pictures), **percentiles("webhook_ms", webhooks)}
    figures |= {**percentiles("direct_ms", direct[0]), **percentiles("direct_webhook_ms", direct[1])}
    return figures | {
        "ratio_p50": round(figures["telegram_ms_p50"] / figures["direct_ms_p50"], 2),
        "webhook_ratio_p50": round(figures["webhook_ms_p50"] / figures["direct_webhook_ms_p50"], 2),
    }


def _pictures_sent(comfyui: str, telegram: TelegramServer, count: int) -> list[float]:
    _edit(telegram, FIRST_USER)  # whoever comes first waits until everything has started
    times = [
        _edit(telegram, FIRST_USER + number) - 1000 * _newest_success(comfyui)
        for number in range(1, count + 1)
    ]
    doubled = sum(len(_pictures(telegram, FIRST_USER + number)) > 1 for number in range(count + 1))
    if doubled:
        raise SystemExit(f"{doubled} people have their picture twice")
    return times


def _webhooks_sent(system: System, comfyui: str, receiver: Receiver, count: int) -> list[float]:
    from qwenedit.users.services import create_api_key, register_api_user
    from webhooks.services import create_endpoint

    user, _ = register_api_user(username="bench")
    _, key = create_api_key(user=user)
    endpoint = create_endpoint(user=user, url=receiver.url)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    photo = picture("JPEG", 256)

    def told() -> float:
        """Have a photo edited; return the milliseconds from its end on the node to the webhook."""
        before = len(receiver.received)
        answer = session.post(
            f"{system.url}/api/v1/jobs/",
            files={"image": ("photo.jpg", photo, "image/jpeg")},
            data={"prompt": "make it an ink drawing"},
            timeout=30,
        )
        answer.raise_for_status()
        wait_until(lambda: len(receiver.received) > before, every=0.02)
        request = receiver.received[before]
        _check(request, answer.json()["id"], endpoint.secret)
        return 1000 * (request.at - _newest_success(comfyui))

    told()  # connections
    times = [told() for _ in range(count)]
    if len(receiver.received) != count + 1:
        raise SystemExit(f"{len(receiver.received)} webhooks came of {count + 1} edits")
    return times


def _check(request: Received, job_id: int, secret: str) -> None:
    event = request.body
    if (event["type"], event["data"]["id"]) != ("job.succeeded", job_id) or not verified(request, secret):
        raise SystemExit(f"A webhook about something else, or signed wrongly: {event}")


def _edit(telegram: TelegramServer, person: int) -> float:
    """Let a person send a photo; return when the picture came, in milliseconds since 1970."""
    telegram.act("user", user_id=person, first_name=f"Person {person}", language_code="en")
    photo = base64.b64encode(picture("JPEG", 256)).decode()
    telegram.act("photo", user_id=person, data=photo, caption="Make it an ink drawing")
    wait_until(lambda: _pictures(telegram, person), every=0.1)
    return 1000 * float(_pictures(telegram, person)[0]["at"])


def _pictures(telegram: TelegramServer, person: int) -> list[dict[str, Any]]:
    return [call for call in telegram.calls(chat_id=person) if call["method"] in METHODS and call["ok"]]


def _newest_success(comfyui: str) -> float:
    """Return when the newest execution ended, in seconds since 1970."""
    [entry] = requests.get(f"{comfyui}/history?max_items=1", timeout=10).json().values()
    moments = {name: data.get("timestamp") for name, data in entry["status"]["messages"]}
    return float(moments["execution_success"]) / 1000


def _direct(
    comfyui: str, telegram: TelegramServer, receiver: Receiver, count: int
) -> tuple[list[float], list[float]]:
    """Return the milliseconds until the picture was sent, and those until the webhook had come."""
    pictures, webhooks = [], []
    session = requests.Session()
    with DirectClient(comfyui) as client:
        for _ in range(count):
            result = client.edit(picture("JPEG", 256))
            session.post(
                f"{telegram.api_url}{telegram.token}/sendPhoto",
                data={"chat_id": FIRST_USER},
                files={"photo": ("result.png", result, "image/png")},
                timeout=30,
            ).raise_for_status()
            pictures.append(1000 * (time.time() - _newest_success(comfyui)))
            client.edit(picture("JPEG", 256))
            session.post(receiver.url, json={"type": "job.succeeded"}, timeout=30).raise_for_status()
            webhooks.append(1000 * (receiver.received[-1].at - _newest_success(comfyui)))
    return pictures, webhooks


if __name__ == "__main__":
    run("notify", measure, GOALS)
