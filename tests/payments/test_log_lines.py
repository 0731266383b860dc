"""The log lines of money, as a real process writes them: a contract with whoever reads the logs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from payments.models import Payment
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.servers import YooKassaServer

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent

REFUND = """
from payments import ledger
ledger.charge_job(user_id={user}, job_id=555, points=30, description="Pencil sketch")
entry = ledger.refund_job(user_id={user}, job_id=555, points=30, reason="Job 555 failed")
ledger.refund_job(user_id={user}, job_id=555, points=30, reason="Job 555 failed")
print(entry.pk)
"""

TOP_UP = """
import requests
from payments.services import check_payment, start_payment
from qwenedit.users.models import User
payment = start_payment(
    user=User.objects.get(pk={user}), rubles=100, method="card", return_url="https://shop.test/"
)
body = {{"action": "pay", "payment_id": payment.gateway_id}}
requests.post("{shop}/sandbox/control", json=body, timeout=30).raise_for_status()
check_payment(payment)
"""

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.fixture
def user() -> User:
    return UserFactory.create(balance=1090)


def refund_in_a_process(user: User, **environment: str) -> tuple[int, list[str]]:
    """Charge and refund in a process of its own; return the entry's id and the lines about payments."""
    answer = subprocess.run(
        [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", REFUND.format(user=user.pk)],
        cwd=PROJECT_ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(answer.stdout), [line for line in answer.stderr.splitlines() if "payments.ledger" in line]


def test_the_line_of_a_refund_is_the_agreed_one(user: User) -> None:
    entry, lines = refund_in_a_process(user, LOG_FORMAT="text")
    assert len(lines) == 1
    time, line = lines[0].split(" ", 1)
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", time)
    assert line == (
        f"INFO    payments.ledger: Refund created successfully: payment_id={entry}, user_id={user.pk}, "
        "amount=30 points, reason=Job 555 failed, new_balance=1090"
    )


def test_in_json_the_line_is_the_event_and_its_fields_stand_apart(user: User) -> None:
    entry, lines = refund_in_a_process(user, LOG_FORMAT="json")
    assert len(lines) == 1
    record: dict[str, Any] = json.loads(lines[0])
    assert record["event"] == (
        f"Refund created successfully: payment_id={entry}, user_id={user.pk}, "
        "amount=30 points, reason=Job 555 failed, new_balance=1090"
    )
    fields = {
        "payment_id": entry,
        "user_id": user.pk,
        "amount": "30 points",
        "reason": "Job 555 failed",
        "new_balance": 1090,
        "balance_before": 1060,
        "job_id": 555,
        "status": "succeeded",
        "level": "info",
        "logger": "payments.ledger",
    }
    assert {name: record.get(name) for name in fields} == fields


def top_up_in_a_process(user: User, yookassa: YooKassaServer, **environment: str) -> list[str]:
    """Pay 100 rubles in a process of its own; return the lines about the payment."""
    answer = subprocess.run(
        [
            sys.executable, "manage.py", "shell", "--verbosity", "0", "-c",
            TOP_UP.format(user=user.pk, shop=yookassa.url),
        ],
        cwd=PROJECT_ROOT,
        env={**os.environ, "YOOKASSA_API_URL": yookassa.api_url, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )  # fmt: skip
    return [line for line in answer.stderr.splitlines() if "payments.services" in line]


def test_the_lines_of_a_top_up_are_the_agreed_ones(user: User, yookassa: YooKassaServer) -> None:
    lines = top_up_in_a_process(user, yookassa, LOG_FORMAT="text")
    payment = Payment.objects.get()
    assert [line.split(" ", 1)[1] for line in lines] == [
        f"INFO    payments.services: Payment attempt: payment_id={payment.pk}, user_id={user.pk}, "
        "amount=10000 kopeks, method=card, status=pending",
        f"INFO    payments.services: Payment created successfully: payment_id={payment.pk}, "
        f"user_id={user.pk}, yukassa_payment_id={payment.gateway_id}, amount=100 rubles, status=pending",
        f"INFO    payments.services: Payment succeeded: payment_id={payment.pk}, user_id={user.pk}, "
        "amount=10000 kopeks, credited 1000 points, new_balance=2090",
    ]


def test_in_json_a_top_up_names_its_fields_and_both_balances(user: User, yookassa: YooKassaServer) -> None:
    lines = top_up_in_a_process(user, yookassa, LOG_FORMAT="json")
    payment = Payment.objects.get()
    created, succeeded = (json.loads(line) for line in lines[1:])
    assert (created["yukassa_payment_id"], created["amount"]) == (payment.gateway_id, "100 rubles")
    assert (succeeded["payment_id"], succeeded["user_id"]) == (payment.pk, user.pk)
    assert (succeeded["balance_before"], succeeded["new_balance"]) == (1090, 2090)


def test_production_logs_json_without_being_told(user: User) -> None:
    _, lines = refund_in_a_process(user, DEBUG="false", SECRET_KEY="a secret of this test alone")
    assert json.loads(lines[0])["user_id"] == user.pk
