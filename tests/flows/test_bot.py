"""The bot with the processes of production: receiver, worker, beat, and each killed in the middle of it."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.core.management import call_command

from botapp.models import Order
from payments.models import LedgerEntry
from qwenedit import settings as project
from qwenedit.users.models import User
from tests.api.server import WebServer
from tests.flows.processes import ServiceProcess
from tests.servers import SandboxServer, YooKassaServer
from tests.telegram import Telegram
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes, pytest.mark.timeout(300)]

ANN = 4001
PROMISE = 60.0  # seconds within which anything that was killed is made good


class Person:
    """Somebody at the stand-in, whom the real processes answer."""

    def __init__(self, telegram: Telegram, user_id: int) -> None:
        self.telegram = telegram
        self.user_id = user_id
        telegram.act("user", user_id=user_id, first_name="Ann", language_code="en")

    def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Do something in the chat."""
        return self.telegram.act(action, user_id=self.user_id, **arguments)

    def sees(self, timeout: float = PROMISE, **wanted: Any) -> dict[str, Any]:
        """Wait for a message of the bot's that fits."""
        return self.do("wait", timeout=timeout, **wanted)

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """The pictures that the bot has shown."""
        return [message for message in self.telegram.said(self.user_id) if message.get("photo")]


@pytest.fixture
def ann(telegram: Telegram) -> Person:
    """Somebody new, who reads English."""
    return Person(telegram, ANN)


@pytest.fixture
def photo(sample_photo: bytes) -> str:
    """The sample photo, as the stand-in takes it."""
    return base64.b64encode(sample_photo).decode()


@pytest.fixture
def environment(
    telegram: Telegram, sandbox: SandboxServer, yookassa: YooKassaServer, valkey: redis.Redis
) -> dict[str, str]:
    """Where the processes find the stand-ins."""
    call_command("load_presets")
    call_command("load_packages")
    return {
        "TELEGRAM_API_URL": telegram.url,
        "COMFYUI_URL": sandbox.url,
        "YOOKASSA_API_URL": yookassa.api_url,
    }


@pytest.fixture
def worker(environment: dict[str, str], beat: ServiceProcess) -> Iterator[ServiceProcess]:
    """A worker, beside the beat that sends its sweeps."""
    with ServiceProcess("worker", **environment) as process:
        yield process


@pytest.fixture
def bot(environment: dict[str, str]) -> Iterator[ServiceProcess]:
    """The bot, by polling."""
    with ServiceProcess("bot", **environment) as process:
        yield process


def assert_one_edit(person: Person) -> None:
    """One order, one charge, one picture; and the whole database agrees."""
    [order] = Order.objects.filter(chat_id=person.user_id)
    causes = LedgerEntry.objects.filter(key__startswith="job:").values_list("key", flat=True)
    assert list(causes) == [f"job:{order.job_id}:charge"]
    assert len(person.pictures) == 1
    call_command("audit")


def test_a_photo_with_a_caption_comes_back_edited(
    ann: Person, photo: str, worker: ServiceProcess, bot: ServiceProcess
) -> None:
    ann.do("message", text="/start")
    ann.sees(contains="Hello, Ann")
    ann.do("photo", data=photo, caption="make it a pencil sketch")
    result = ann.sees(has="photo")
    assert "Balance: 30 points" in result["caption"]
    assert_one_edit(ann)


def test_the_same_by_webhook(
    ann: Person, photo: str, worker: ServiceProcess, environment: dict[str, str]
) -> None:
    with WebServer(**environment) as site:
        registration = subprocess.run(
            [sys.executable, "manage.py", "runbot", "--webhook"],
            cwd=project.BASE_DIR,
            env=worker.environment | {"PUBLIC_URL": site.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert registration.returncode == 0, registration.stderr
        assert site.url in registration.stdout
        ann.do("photo", data=photo, caption="make it a pencil sketch")
        ann.sees(has="photo")
    assert_one_edit(ann)


def test_two_photos_are_asked_for_by_name_and_fitted(
    ann: Person, photo: str, worker: ServiceProcess, bot: ServiceProcess
) -> None:
    ann.do("message", text="/presets")
    ann.sees(button="Fitting room")
    ann.do("tap", label="Fitting room")
    ann.sees(button="Whole outfit")
    ann.do("tap", label="Whole outfit")
    ann.sees(contains="Send photo 1")
    ann.do("photo", data=photo)
    ann.sees(contains="Send photo 2")
    ann.do("photo", data=photo)
    ann.sees(button="✅ Edit")
    ann.do("tap", label="✅ Edit")
    ann.sees(has="photo")
    assert_one_edit(ann)


def test_points_are_bought_with_stars_and_by_card(
    ann: Person, yookassa: YooKassaServer, worker: ServiceProcess, bot: ServiceProcess
) -> None:
    ann.do("message", text="/topup")
    ann.sees(button="100 ₽")
    ann.do("tap", label="100 ₽ → 1000")
    ann.sees(button="Stars")
    ann.do("tap", label="Stars")
    ann.sees(has="invoice")
    wait_until(lambda: ann.do("pay")["ok"])  # Telegram gives the bot ten seconds to agree, each time
    ann.sees(contains="You have 1060 points now")

    ann.do("message", text="/topup")
    ann.sees(button="100 ₽ → 1000")
    ann.do("tap", label="100 ₽ → 1000")
    ann.sees(button="Card")
    ann.do("tap", label="Card")
    ann.sees(button="Check the payment")
    [payment] = User.objects.get(telegram_id=ANN).payments.filter(gateway="yookassa")
    yookassa.do("pay", payment_id=payment.gateway_id)
    ann.do("tap", label="Check the payment")
    ann.sees(contains="You have 2060 points now")
    call_command("audit")


def test_the_bot_is_killed_with_a_photo_in_its_hands_and_its_owner_gets_one_result(
    ann: Person, photo: str, worker: ServiceProcess, bot: ServiceProcess
) -> None:
    ann.do("message", text="/start")
    ann.sees(contains="Hello, Ann")
    bot.kill()
    ann.do("photo", data=photo, caption="make it a pencil sketch")
    bot.start()
    wait_until(lambda: Order.objects.exists(), timeout=PROMISE)
    bot.kill()  # whatever it was doing with the order, the worker goes on with it
    ann.sees(has="photo")
    assert_one_edit(ann)


def test_the_worker_is_killed_in_the_middle_of_an_order_and_its_owner_gets_one_result(
    ann: Person, photo: str, sandbox: SandboxServer, worker: ServiceProcess, bot: ServiceProcess
) -> None:
    sandbox.control(seconds_per_step=1)
    ann.do("photo", data=photo, caption="make it a pencil sketch")
    wait_until(lambda: Order.objects.filter(job__progress__gte=5).exists(), timeout=PROMISE)
    worker.kill()
    worker.start()
    ann.sees(has="photo")
    assert_one_edit(ann)
