"""The process: starting, stopping, what it remembers, and what it costs."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.sandbox.yookassa import shapes
from tests.sandbox.yookassa.driving import Client, new_key, payment_body, receipt
from tests.sandbox.yookassa.receiver import Receiver, run_receiver
from tests.servers import PROJECT_ROOT, YooKassaServer, start_sandbox_yookassa
from tests.waiting import wait_until

MEGABYTE = 1024 * 1024


@pytest.fixture
def postman() -> Iterator[Receiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_folder_keeps_everything_over_a_restart(tmp_path: Path, postman: Receiver, end: str) -> None:
    arguments = ("--data-dir", str(tmp_path), "--webhook-url", postman.url, "--fiscalization", "atol")
    with start_sandbox_yookassa(*arguments) as server:
        alice, key, body = Client(server), new_key(), payment_body(receipt=receipt())
        first = alice.post("/payments", body, key).json()
        server.do("advance", seconds=1800)
        postman.answers = [500]
        paid = alice.paid(receipt=receipt())
        wait_until(lambda: len(postman.received) == 1, timeout=10)
        server.do("refund_mode", mode="pending_then_succeeded", seconds=600)
        refund = alice.refund(paid["id"])
        getattr(server, end)()
        server.restart()

        assert alice.post("/payments", body, key).json() == first
        assert alice.payments()["items"] == [alice.payment(paid["id"]), first]
        assert alice.payment(paid["id"])["created_at"] > first["created_at"]
        server.do("advance", seconds=601)
        assert alice.refund_by_id(refund["id"])["status"] == "succeeded"
        assert alice.payment(paid["id"])["receipt_registration"] == "succeeded"
        events = [event for event, _ in postman.events()]
        assert events == ["payment.succeeded", "payment.succeeded", "refund.succeeded"]
        server.do("advance", seconds=1800)
        assert alice.payment(first["id"])["cancellation_details"]["reason"] == "expired_on_confirmation"
        server.do("reset")
        server.restart()
        assert alice.payments()["items"] == []


def test_without_a_folder_a_restart_forgets() -> None:
    with start_sandbox_yookassa() as server:
        payment = Client(server).create()
        server.restart()
        assert Client(server).get(f"/payments/{payment['id']}").status_code == 404


def test_sigterm_ends_it_at_once_even_while_requests_hang(postman: Receiver) -> None:
    server = YooKassaServer("yookassa", "--webhook-url", postman.url).start()
    alice = Client(server)
    server.do("fault", fault="hang", seconds=60)
    with pytest.raises(requests.ReadTimeout):
        alice.post("/payments", payment_body(), timeout=0.2)
    alice.paid()
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 20  # what hangs does so for longer


def test_it_knows_no_django_and_idles_below_60_megabytes() -> None:
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
    with start_sandbox_yookassa() as server:
        assert Client(server).get("/me").ok
        assert psutil.Process(server.pid).memory_info().rss < 60 * MEGABYTE


def test_the_management_command_is_the_same_server_and_ends_by_ctrl_c() -> None:
    command = [sys.executable, "manage.py", "sandbox", "yookassa", "--port", "0", "--live"]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if "listening on" in line)
            assert line.startswith("YooKassa sandbox listening on http://127.0.0.1:")
            url = line.split()[-1]
            me = requests.get(f"{url}/v3/me", auth=("sandbox", "sandbox"), timeout=10).json()
            shapes.check_me(me)
            assert me["test"] is False
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_options_choose_the_shop() -> None:
    arguments = ("--shop-id", "100500", "--secret-key", "s:ecret", "--fiscalization")
    with start_sandbox_yookassa(*arguments) as server:
        alice = Client(server)
        assert alice.get("/me").status_code == 401
        alice.auth = ("100500", "s:ecret")
        me = alice.get("/me").json()
        shapes.check_me(me)
        assert me["fiscalization"] == {"enabled": True, "provider": "yoo_receipt"}
        assert alice.create(receipt=receipt())["recipient"]["account_id"] == "100500"


def test_a_taken_port_and_an_unusable_folder_are_said_in_one_line(tmp_path: Path) -> None:
    with start_sandbox_yookassa() as server, pytest.raises(RuntimeError, match="address already in use"):
        YooKassaServer("yookassa").start(server.port)
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match=r"YooKassa sandbox: .*File exists"):
        YooKassaServer("yookassa", "--data-dir", str(tmp_path / "file")).start()
