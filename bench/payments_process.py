"""One process of the storm of `bench.payments`: buyers, staff, an inbox and a beat, until it is killed.

It may be killed at any line. What it has told to the end stands in the file `--told`; a process that takes
its place begins the other stories again under the same keys, as clients and staff who got no answer do.
"""

from __future__ import annotations

import argparse
import os
import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import django
import requests

django.setup()

from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from payments import ledger, reconcile  # noqa: E402
from payments.gateways.base import GatewayError, GatewayRejected, GatewayUnavailable  # noqa: E402
from payments.models import LedgerEntry, Notification, Payment  # noqa: E402
from payments.refunds import RefundRefused, refundable_amount, request_refund  # noqa: E402
from payments.services import check_payment, start_payment  # noqa: E402
from payments.standing import ask_standing  # noqa: E402
from payments.webhooks import process_notification  # noqa: E402
from qwenedit.users.models import User  # noqa: E402

STAFF = "staff"
SHOP = os.environ["SANDBOX_CONTROL"]
RUBLES = [1, 7, 49, 100, 300, 333, 1000, 9999]
BUYERS = {"pay": 60, "pay late": 10, "decline": 10, "expire": 10, "leave": 10}
LONGEST_PAUSE = 0.1
BETWEEN_SWEEPS = 1.0
COMPARED = timedelta(seconds=10)
SOON = timedelta(hours=1)  # whatever is due within it is due now: intervals are no part of the storm
TRIES = 30


class Stories:
    """What happens to each payment; the same number always tells the same."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._buyers = list(User.objects.filter(is_staff=False).order_by("pk"))
        self._staff = User.objects.get(username=STAFF)

    def tell(self, number: int) -> None:
        """Start a payment; let its buyer act, look, spend, and get money back."""
        chance = random.Random(f"{self._seed}:{number}")  # noqa: S311 - stories repeat
        payment = self._start(number, chance)
        if payment is None or payment.gateway_id is None:
            return
        action = chance.choices([*BUYERS], [*BUYERS.values()])[0]
        if action in ("pay late", "expire"):
            at_shop("expire", payment_id=payment.gateway_id)
        if action in ("pay", "pay late"):
            at_shop("pay", payment_id=payment.gateway_id, late=True)
        if action == "decline":
            at_shop("decline", payment_id=payment.gateway_id)
        for look in chance.sample([ask_standing, check_payment], chance.randrange(3)):
            with suppress(GatewayError):
                look(Payment.objects.get(pk=payment.pk))
        if action.startswith("pay") and chance.random() < 0.4:
            self._give_back(number, payment, chance)

    def _start(self, number: int, chance: random.Random) -> Payment | None:
        buyer = self._buyers[number % len(self._buyers)]
        rubles, method = chance.choice(RUBLES), chance.choice(["card", "sbp"])
        for _ in range(TRIES):
            try:
                return start_payment(
                    user=buyer,
                    rubles=rubles,
                    method=method,
                    idempotency_key=f"storm-{number}",
                    return_url="https://shop.test/{payment_id}/",
                )
            except GatewayUnavailable:
                continue
            except GatewayRejected:
                return None
        return None

    def _give_back(self, number: int, payment: Payment, chance: random.Random) -> None:
        payment.refresh_from_db()
        if chance.random() < 0.3:
            with suppress(ledger.InsufficientPoints):
                ledger.post(
                    user_id=payment.user_id,
                    amount=-payment.points // 2,
                    kind=LedgerEntry.Kind.GRANT,
                    key=f"spent:{number}",
                )
        share, forced = chance.choice([1, 2, 3]), chance.random() < 0.5
        if chance.random() < 0.2:
            amount = f"{max(payment.amount // share, 100) / 100:.2f}"
            at_shop("refund", payment_id=payment.gateway_id, amount=amount)

        def ask(form: int) -> None:
            # More than a half each: of two at once that is too much.
            amount = refundable_amount(Payment.objects.get(pk=payment.pk)) * 2 // (share + 2)
            with suppress(RefundRefused):
                request_refund(
                    payment=payment,
                    amount=amount,
                    reason="asked for",
                    staff=self._staff,
                    form_token=uuid.uuid5(payment.key, str(form)),
                    force=forced,
                )

        forms = chance.choice([[1], [1, 1], [1, 2], [1, 2, 3]])
        with ThreadPoolExecutor(len(forms)) as staff:
            list(staff.map(closing(ask), forms))


def at_shop(action: str, **arguments: object) -> None:
    """Do something at the shop; what it refuses is not done."""
    body = {"action": action, **arguments}
    requests.post(f"{SHOP}/sandbox/control", json=body, timeout=60)


def closing(work: Callable[..., None]) -> Callable[..., None]:
    """Return `work` for a thread that must leave no connection behind."""

    def worked(*arguments: object) -> None:
        try:
            work(*arguments)
        finally:
            connections.close_all()

    return worked


def take_from_inbox(is_over: threading.Event) -> None:
    """Process notifications as they come, whoever else does."""
    chance = random.Random()  # noqa: S311
    while not is_over.wait(chance.uniform(0, LONGEST_PAUSE)):
        waiting = list(Notification.objects.open().order_by("tries", "pk").values_list("pk", flat=True)[:20])
        for pk in chance.sample(waiting, len(waiting)):
            process_notification(pk)


def sweep(is_over: threading.Event) -> None:
    """Do what the beat asks workers to do, as often as it goes."""
    while not is_over.wait(BETWEEN_SWEEPS):
        soon = timezone.now() + SOON
        reconcile.check_due_payments(soon)
        reconcile.check_due_refunds(soon)
        reconcile.sweep_notifications(soon)
        with suppress(GatewayError):
            reconcile.compare(soon - SOON - COMPARED, soon)


def main() -> None:
    """Tell every story of this process that was not told to its end before."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("number", "of", "payments", "threads", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--told", type=Path, required=True)
    options = parser.parse_args()
    told = {*options.told.read_text().split()} if options.told.exists() else set()
    left = [n for n in range(options.number, options.payments, options.of) if str(n) not in told]
    stories, is_over = Stories(options.seed), threading.Event()
    others = [threading.Thread(target=closing(work), args=[is_over]) for work in (take_from_inbox, sweep)]
    for thread in others:
        thread.start()
    with options.told.open("ab", buffering=0) as book:

        def tell(number: int) -> None:
            stories.tell(number)
            book.write(f"{number}\n".encode())

        try:
            with ThreadPoolExecutor(options.threads) as tellers:
                list(tellers.map(tell, left))
        finally:
            is_over.set()
            for thread in others:
                thread.join()


if __name__ == "__main__":
    main()
