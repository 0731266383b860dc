"""Everything at once at one payment, by real threads on PostgreSQL: one credit, and never too much back."""

import json
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from payments import audit, ledger
from payments.gateways.registry import gateway_for
from payments.models import (
    Discrepancy,
    LedgerEntry,
    Notification,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from payments.reconcile import check_due_payments, check_due_refunds, compare, sweep_notifications
from payments.refunds import RefundRefused, check_refund, refundable_amount, request_refund
from payments.return_addresses import return_url
from payments.services import apply_remote, check_payment
from payments.signals import payment_succeeded
from payments.webhooks import process_notification
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.servers import YooKassaServer
from tests.threads import at_once, errors

pytestmark = [pytest.mark.postgres, pytest.mark.processes]

TopUp = Callable[..., Payment]
SOON = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _the_audit_holds_afterwards(postgres: None, transactional_db: None) -> Iterator[None]:
    yield
    assert [finding for finding in audit.findings() if finding.broken] == []


@pytest.fixture
def staff(transactional_db: None) -> list[User]:
    """Those who may give money back."""
    return [UserFactory.create(username=f"staff-{number}", is_staff=True) for number in range(6)]


@pytest.fixture
def paid(top_up: TopUp, yookassa: YooKassaServer) -> Payment:
    """A top-up of 100 rubles that was paid, and that we have not heard of."""
    payment = top_up(return_url=return_url("https://shop.test"))
    yookassa.do("pay", payment_id=payment.gateway_id)
    return payment


@pytest.fixture
def credited(paid: Payment) -> Payment:
    """A top-up of 100 rubles, credited with 1000 points."""
    return check_payment(paid)


def balance(user: User) -> int:
    """Return a user's balance as it is now."""
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def announce(event: str, object_id: str | None) -> int:
    """Deliver a notification as the gateway does, and have it processed; return the status of the answer."""
    body = json.dumps({"type": "notification", "event": event, "object": {"id": object_id}})
    answer = Client(REMOTE_ADDR="77.75.153.10").post(
        "/webhooks/yookassa/", body, content_type="application/json"
    )
    process_notification(Notification.objects.latest("id").pk)
    return answer.status_code


def come_back(payment: Payment) -> int:
    """Open the page that a buyer comes back to; return the status of the answer."""
    parts = urlsplit(payment.body["confirmation"]["return_url"])
    return Client().get(f"{parts.path}?{parts.query}").status_code


def give_back(payment: Payment, staff: User, kopeks: int, *, token: uuid.UUID | None = None) -> Refund:
    """Give money back as staff would, with a form of its own unless told."""
    return request_refund(
        payment=payment, amount=kopeks, reason="asked", staff=staff, form_token=token or uuid.uuid4()
    )


def test_webhooks_sweeps_polls_and_the_return_page_at_once_credit_once(
    paid: Payment, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def listener(payment: Payment, **_: object) -> None:
        heard.append(payment.pk)

    payment_succeeded.connect(listener)
    soon = timezone.now() + SOON
    try:
        with caplog.at_level(logging.INFO):
            outcomes = at_once(
                *[partial(announce, "payment.succeeded", paid.gateway_id)] * 100,
                *[partial(sweep_notifications, soon)] * 5,
                *[partial(check_due_payments, soon)] * 5,
                *[partial(compare, soon - timedelta(days=1), soon)] * 2,
                *[lambda: check_payment(Payment.objects.get(pk=paid.pk)).pk] * 10,
                *[partial(come_back, paid)] * 10,
            )
    finally:
        payment_succeeded.disconnect(listener)

    assert errors(outcomes) == []
    assert outcomes[:100] == [200] * 100
    assert outcomes[-10:] == [200] * 10
    assert LedgerEntry.objects.filter(key=f"payment:{paid.pk}").count() == 1
    assert balance(alice) == 1060
    assert heard == [paid.pk]
    assert caplog.text.count(f"Payment succeeded: payment_id={paid.pk}") == 1
    sweep_notifications(soon)
    assert not Notification.objects.open().exists()
    assert not Discrepancy.objects.exists()


def test_news_that_contradict_each_other_at_once_end_in_the_truth(
    top_up: TopUp, yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("expire", payment_id=payment.gateway_id)
    expired = gateway_for("yookassa").fetch(str(payment.gateway_id))
    yookassa.do("pay", payment_id=payment.gateway_id, late=True)
    paid_late = gateway_for("yookassa").fetch(str(payment.gateway_id))

    news = [expired, paid_late] * 20
    outcomes = at_once(
        *(partial(apply_remote, Payment.objects.get(pk=payment.pk), remote) for remote in news)
    )

    assert errors(outcomes) == []
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.SUCCEEDED
    assert balance(alice) == 1060


def test_many_partial_refunds_at_once_stop_at_what_was_paid(
    credited: Payment, staff: list[User], alice: User
) -> None:
    # Whole rubles: YooKassa refuses a refund that leaves less than one.
    wishes = [1000, 2500, 3000, 4000, 5000, 6000, 700, 10_000, 9_000, 1_200, 300, 8_000]
    outcomes = at_once(
        *(
            partial(give_back, credited, staff[number % len(staff)], kopeks)
            for number, kopeks in enumerate(wishes)
        )
    )

    made = [outcome for outcome in outcomes if isinstance(outcome, Refund)]
    assert {type(error) for error in errors(outcomes)} == {RefundRefused}
    given = sum(refund.amount for refund in made)
    assert 0 < given <= 10_000
    assert gateway_for("yookassa").fetch(str(credited.gateway_id)).refunded == given
    refused = [wish for wish, outcome in zip(wishes, outcomes, strict=True) if outcome not in made]
    assert min(refused) > 10_000 - given
    assert balance(alice) == 1060 - sum(refund.points for refund in made)


def test_two_partial_refunds_that_together_exceed_it_are_one(
    credited: Payment, staff: list[User], alice: User
) -> None:
    outcomes = at_once(*(partial(give_back, credited, person, 5001) for person in staff[:2]))

    assert Counter(type(outcome) for outcome in outcomes) == {Refund: 1, RefundRefused: 1}
    assert gateway_for("yookassa").fetch(str(credited.gateway_id)).refunded == 5001
    assert balance(alice) == 1060 - 500


def test_one_form_sent_many_times_at_once_is_one_refund(
    credited: Payment, staff: list[User], alice: User, yookassa: YooKassaServer
) -> None:
    token = uuid.uuid4()
    outcomes = at_once(*[partial(give_back, credited, staff[0], 3000, token=token)] * 10)

    assert errors(outcomes) == []
    assert {outcome.pk for outcome in outcomes if isinstance(outcome, Refund)} == {Refund.objects.get().pk}
    assert gateway_for("yookassa").fetch(str(credited.gateway_id)).refunded == 3000
    assert balance(alice) == 760


def test_a_refund_and_everybody_who_finds_its_outcome_out_at_once(
    credited: Payment, staff: list[User], alice: User, yookassa: YooKassaServer
) -> None:
    yookassa.do("refund_mode", mode="pending")
    canceled, made = (give_back(credited, person, 3000) for person in staff[:2])
    yookassa.do("settle_refund", refund_id=canceled.gateway_id, status="canceled")
    yookassa.do("settle_refund", refund_id=made.gateway_id)
    soon = timezone.now() + SOON

    outcomes = at_once(
        *[lambda: check_refund(Refund.objects.get(pk=canceled.pk))] * 5,
        *[lambda: check_refund(Refund.objects.get(pk=made.pk))] * 5,
        *[partial(announce, "refund.succeeded", made.gateway_id)] * 10,
        *[partial(check_due_refunds, soon)] * 3,
        *[partial(compare, soon - timedelta(days=1), soon)] * 2,
    )

    assert errors(outcomes) == []
    assert dict(Refund.objects.values_list("pk", "status")) == {
        canceled.pk: RefundStatus.CANCELED,
        made.pk: RefundStatus.SUCCEEDED,
    }
    assert balance(alice) == 1060 - 300
    assert not Discrepancy.objects.exists()


def test_staff_and_the_cabinet_at_once_give_back_what_there_is(
    credited: Payment, staff: list[User], alice: User, yookassa: YooKassaServer
) -> None:
    def in_the_cabinet() -> None:
        made = yookassa.do("refund", payment_id=credited.gateway_id, amount="40.00")
        announce("refund.succeeded", made["id"])

    at_once(in_the_cabinet, *(partial(give_back, credited, person, 6000) for person in staff[:3]))
    now = timezone.now()
    compare(now - timedelta(days=1), now + SOON)

    given = gateway_for("yookassa").fetch(str(credited.gateway_id)).refunded
    held = Refund.objects.filter(status=RefundStatus.SUCCEEDED).values_list("amount", flat=True)
    assert sum(held) == given == 10_000 - refundable_amount(credited)
    assert balance(alice) == 1060 - given // 10


def test_spending_against_refunds_at_once_takes_every_point_once(
    credited: Payment, staff: list[User], alice: User
) -> None:
    def spend(number: int) -> LedgerEntry:
        return ledger.post(
            user_id=alice.pk, amount=-100, kind=LedgerEntry.Kind.GRANT, key=f"spent:{number}"
        ).entry

    outcomes = at_once(
        *(partial(give_back, credited, person, 5000) for person in staff[:2]),
        *(partial(spend, number) for number in range(10)),
    )

    assert {type(error) for error in errors(outcomes)} <= {RefundRefused, ledger.InsufficientPoints}
    given = gateway_for("yookassa").fetch(str(credited.gateway_id)).refunded
    spent = 100 * sum(isinstance(outcome, LedgerEntry) for outcome in outcomes)
    assert balance(alice) == 1060 - spent - given // 10 >= 0
    assert len(errors(outcomes)) > 0
