"""A process of ours dies at every boundary there is, one after the other: what is left is made good."""

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from payments import audit, reconcile, webhooks
from payments.gateways.base import GatewayError, RemotePayment
from payments.gateways.registry import gateway_for
from payments.models import Discrepancy, LedgerEntry, Notification, Payment, PaymentStatus, Refund
from payments.refunds import request_refund
from payments.services import check_payment, start_payment
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.payments.crashes import PLACES, Fuse, boundaries
from tests.servers import YooKassaServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]

HOUR = timedelta(hours=1)
MOST_BOUNDARIES = 60


@dataclass
class Shop:
    """What a story is told with: a buyer, staff, a shop, and the fuse of the process that may die."""

    yookassa: YooKassaServer
    buyer: User
    staff: User
    fuse: Fuse
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    token: uuid.UUID = field(default_factory=uuid.uuid4)

    def start(self) -> None:
        """Ask for a top-up of 100 rubles, under one key until there is an answer."""
        for _ in range(3):
            with suppress(GatewayError), self.fuse.process():
                self.ask()
                return

    def ask(self) -> None:
        """Ask for the top-up once."""
        start_payment(
            user=self.buyer,
            rubles=100,
            method="card",
            idempotency_key=self.key,
            return_url="https://a.test/",
        )

    def announce(self, event: str, object_id: str) -> None:
        """Deliver a notification until it is kept, and have it processed."""
        body = json.dumps({"type": "notification", "event": event, "object": {"id": object_id}}).encode()
        kept = None
        while kept is None:
            with self.fuse.process():
                kept = webhooks.receive(body, "127.0.0.1")
        with self.fuse.process():
            webhooks.process_notification(kept.pk)

    def give_back(self, kopeks: int) -> None:
        """Press the button of one refund form, until there is an answer."""
        for _ in range(2):
            with self.fuse.process():
                request_refund(
                    payment=self.payment,
                    amount=kopeks,
                    reason="asked for",
                    staff=self.staff,
                    form_token=self.token,
                )
                return

    def sweep(self) -> None:
        """Let the beat find what is left over: now, and once lists and patience have caught up."""
        for age in (timedelta(), timedelta(minutes=15), HOUR):
            Refund.objects.update(created_at=F("created_at") - age)
            Notification.objects.update(received_at=F("received_at") - age)
            reconcile.sweep_notifications(timezone.now() + HOUR)
            reconcile.check_due_payments(timezone.now() + HOUR)
            reconcile.check_due_refunds(timezone.now() + HOUR)

    @property
    def payment(self) -> Payment:
        """The top-up of the story."""
        return Payment.objects.get(idempotency_key=self.key)

    @property
    def remote(self) -> RemotePayment:
        """The top-up as the shop has it."""
        return gateway_for("yookassa").fetch(str(self.payment.gateway_id))


def top_up(shop: Shop) -> None:
    """Start a top-up, pay it, and hear of it."""
    shop.start()
    shop.yookassa.do("pay", payment_id=shop.payment.gateway_id)
    shop.announce("payment.succeeded", str(shop.payment.gateway_id))


def poll(shop: Shop) -> None:
    """Start a top-up and pay it; no notification comes, so it is asked for."""
    shop.start()
    shop.yookassa.do("pay", payment_id=shop.payment.gateway_id)
    with shop.fuse.process():
        check_payment(shop.payment)


def overtaken_answer(shop: Shop) -> None:
    """The payment is paid, and told of, before its creation is answered."""
    shop.yookassa.do("fault", fault="webhook_first", path="/v3/payments")
    shop.start()
    shop.announce("payment.succeeded", str(shop.payment.gateway_id))


def lost_answer(shop: Shop) -> None:
    """The answer to the creation is lost, and the sweep asks again."""
    shop.yookassa.do("fault", fault="drop", processed=True, path="/v3/payments", method="POST")
    with suppress(GatewayError), shop.fuse.process():
        shop.ask()
    with shop.fuse.process():
        reconcile.check_due_payments(timezone.now() + HOUR)
    shop.start()
    shop.yookassa.do("pay", payment_id=shop.payment.gateway_id)


def late_payment(shop: Shop) -> None:
    """The payment expires, is given up, and is paid after all."""
    shop.start()
    shop.yookassa.do("expire", payment_id=shop.payment.gateway_id)
    shop.announce("payment.canceled", str(shop.payment.gateway_id))
    shop.yookassa.do("pay", payment_id=shop.payment.gateway_id, late=True)
    shop.announce("payment.succeeded", str(shop.payment.gateway_id))
    now = timezone.now()
    reconcile.compare(now - HOUR, now + HOUR)


def refund(shop: Shop) -> None:
    """Pay, and get a part of it back."""
    poll(shop)
    shop.sweep()
    shop.give_back(4000)


def refund_without_an_answer(shop: Shop) -> None:
    """The refund is made, and its answer lost."""
    poll(shop)
    shop.sweep()
    shop.yookassa.do("fault", fault="drop", processed=True, path="/v3/refunds", method="POST")
    shop.give_back(10_000)


def refused_refund(shop: Shop) -> None:
    """The shop refuses the refund."""
    poll(shop)
    shop.sweep()
    shop.yookassa.do("fault", fault="forbidden", path="/v3/refunds", method="POST", count=None)
    shop.give_back(10_000)
    with shop.fuse.process():
        shop.sweep()


def canceled_refund(shop: Shop) -> None:
    """The refund waits, and is canceled; nobody is told of that."""
    poll(shop)
    shop.sweep()
    shop.yookassa.do("refund_mode", mode="pending")
    shop.give_back(10_000)
    made = Refund.objects.get(form_token=shop.token)
    if made.gateway_id is None:
        with shop.fuse.process():
            reconcile.check_due_refunds(timezone.now() + HOUR)
        made.refresh_from_db()
    shop.yookassa.do("settle_refund", refund_id=made.gateway_id, status="canceled")
    with shop.fuse.process():
        reconcile.check_due_refunds(timezone.now() + HOUR)


def cabinet_refund(shop: Shop) -> None:
    """Somebody gives money back in the cabinet, without asking us."""
    poll(shop)
    shop.sweep()
    made = shop.yookassa.do("refund", payment_id=shop.payment.gateway_id, amount="40.00")
    shop.announce("refund.succeeded", made["id"])


def refund_before_its_payment(shop: Shop) -> None:
    """What was paid is given back in the cabinet before we have heard that it was paid."""
    shop.start()
    shop.yookassa.do("pay", payment_id=shop.payment.gateway_id)
    made = shop.yookassa.do("refund", payment_id=shop.payment.gateway_id, amount="40.00")
    shop.announce("refund.succeeded", made["id"])
    shop.announce("payment.succeeded", str(shop.payment.gateway_id))


# (the story, points that it leaves of the thousand, kopeks that the shop has given back)
STORIES: list[tuple[Callable[[Shop], None], int, int]] = [
    (top_up, 1000, 0),
    (poll, 1000, 0),
    (overtaken_answer, 1000, 0),
    (lost_answer, 1000, 0),
    (late_payment, 1000, 0),
    (refund, 600, 4000),
    (refund_without_an_answer, 0, 10_000),
    (refused_refund, 1000, 0),
    (canceled_refund, 1000, 0),
    (cabinet_refund, 600, 4000),
    (refund_before_its_payment, 600, 4000),
]


@pytest.fixture
def fuse() -> Iterator[Fuse]:
    """What lets processes of ours die."""
    with boundaries() as fuse:
        yield fuse


@pytest.mark.parametrize(
    ("story", "points", "kopeks"), STORIES, ids=lambda value: getattr(value, "__name__", "")
)
def test_wherever_it_dies_the_story_ends_the_same(
    story: Callable[[Shop], None], points: int, kopeks: int, yookassa: YooKassaServer, fuse: Fuse
) -> None:
    staff = UserFactory.create(is_staff=True)
    for boundary in itertools.count():
        yookassa.do("clear_faults")
        yookassa.do("refund_mode", mode="succeeded")
        shop = Shop(yookassa, UserFactory.create(balance=0), staff, fuse)
        deaths = fuse.crashes.total()
        fuse.light(boundary)
        story(shop)
        is_over = fuse.crashes.total() == deaths
        yookassa.do("clear_faults")
        shop.sweep()

        assert shop.payment.status == PaymentStatus.SUCCEEDED, boundary
        assert LedgerEntry.objects.filter(key=f"payment:{shop.payment.pk}").count() == 1, boundary
        shop.buyer.refresh_from_db()
        assert (shop.buyer.balance, shop.remote.refunded) == (points, kopeks), boundary
        if is_over:
            break
        assert boundary < MOST_BOUNDARIES
    assert {f"{side} {place}" for side in ("before", "after") for place in PLACES} == {*fuse.crashes}
    assert Payment.objects.count() == sum(yookassa.do("clear_faults")["payments"].values()) == boundary + 1
    assert not Discrepancy.objects.exists()
    assert [finding for finding in audit.findings() if finding.broken] == []
