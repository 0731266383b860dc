"""The process: starting, stopping, what it remembers, and what it costs."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import requests

from tests.sandbox.telegram.driving import PlainBot, as_text, keyboard, picture
from tests.sandbox.telegram.receiver import Receiver
from tests.sandbox.telegram.test_payments import INVOICE, paid
from tests.servers import PROJECT_ROOT, TelegramServer, start_sandbox_telegram
from tests.waiting import wait_until

ALICE = 500_001
MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_folder_keeps_everything_over_a_restart(tmp_path: Path, end: str) -> None:
    with start_sandbox_telegram("--data-dir", str(tmp_path)) as server:
        bot = PlainBot(server)
        server.act("user", user_id=ALICE, first_name="Alice", language_code="ru")
        server.act("photo", user_id=ALICE, data=as_text(picture(1600, 1200)))
        photo = bot.updates()[0]["message"]["photo"]
        bot.ok("setMyCommands", commands=[{"command": "start", "description": "begin"}])
        bot.ok("sendInvoice", chat_id=ALICE, **INVOICE)
        charge = paid(bot, ALICE)["telegram_payment_charge_id"]
        sent = bot.send(ALICE, "pick", reply_markup=keyboard("a"))
        bot.updates()
        pending = server.act("message", user_id=ALICE, text="still there?")["update_id"]
        before = server.chat(ALICE)
        getattr(server, end)()
        server.restart()

        assert server.chat(ALICE) == before
        assert [update["update_id"] for update in bot.updates()][-1] == pending
        assert server.act("message", user_id=ALICE, text="yes")["update_id"] == pending + 1
        assert len(bot.download(photo[-1]["file_id"])) == photo[-1]["file_size"]
        assert bot.download(photo[0]["file_id"])
        edited = bot.ok("editMessageText", chat_id=ALICE, message_id=sent["message_id"], text="picked")
        assert edited["text"] == "picked"
        assert bot.ok("refundStarPayment", user_id=ALICE, telegram_payment_charge_id=charge)
        server.act("reset")
        server.restart()
        assert server.chats()["users"] == []


def test_a_webhook_goes_on_after_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    with start_sandbox_telegram("--data-dir", str(tmp_path)) as server:
        receiver.answers = [(500, None)] * 2
        PlainBot(server).ok("setWebhook", url=receiver.url)
        number = server.act("message", user_id=ALICE, text="hello")["update_id"]
        wait_until(receiver.ids)
        server.kill()
        server.restart()
        wait_until(lambda: receiver.ids() == [number] * 3)


def test_without_a_folder_a_restart_forgets_but_numbers_of_updates_go_on() -> None:
    with start_sandbox_telegram() as server:
        number = server.act("message", user_id=ALICE, text="a")["update_id"]
        server.restart()
        assert requests.get(f"{server.url}/sandbox/chats/{ALICE}", timeout=10).status_code == 404
        assert server.act("message", user_id=ALICE, text="b")["update_id"] > number


def test_sigterm_ends_it_at_once_even_while_a_bot_polls() -> None:
    server = TelegramServer("telegram").start()
    poll = threading.Thread(target=_poll, args=(f"{server.api_url}{server.token}/getUpdates",))
    poll.start()
    wait_until(lambda: server.calls(method="getUpdates"))
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 20  # what hangs does so for longer
    poll.join()


def test_it_knows_no_django_and_idles_below_70_megabytes() -> None:
    script = "import sys, qwenedit.sandbox.__main__; print('django' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert found.stdout.strip() == "False"
    with start_sandbox_telegram() as server:
        assert PlainBot(server).ok("getMe")
        assert psutil.Process(server.pid).memory_info().rss < 70 * MEGABYTE


def test_options_name_the_bot() -> None:
    with start_sandbox_telegram("--token", "42:abc", "--username", "other_bot") as server:
        me = PlainBot(server).ok("getMe")
        assert (me["id"], me["username"]) == (42, "other_bot")
        assert requests.get(f"{server.url}/bot100001:sandbox/getMe", timeout=10).status_code == 401
    with pytest.raises(RuntimeError, match="is no token such as"):
        TelegramServer("telegram", "--token", "secret").start()


def test_a_taken_port_and_an_unusable_folder_are_said_in_one_line(tmp_path: Path) -> None:
    with start_sandbox_telegram() as server, pytest.raises(RuntimeError, match="address already in use"):
        TelegramServer("telegram").start(server.port)
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match=r"Telegram sandbox: .*File exists"):
        TelegramServer("telegram", "--data-dir", str(tmp_path / "file")).start()


def _poll(url: str) -> None:
    try:
        requests.get(url, params={"timeout": 30}, timeout=40)
    except requests.ConnectionError:
        return
