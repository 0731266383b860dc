"""A top-up from its start to its credit: once, of exactly what was promised, whatever happens in between."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from payments.gateways.base import GatewayRejected, GatewayUnavailable
from payments.gateways.registry import gateway_for
from payments.models import Discrepancy, LedgerEntry, Package, Payment, PaymentStatus
from payments.reconcile import check_due_payments
from payments.services import InvalidPayment, PaymentKeyReused, apply_remote, check_payment, start_payment
from qwenedit.users.models import User
from tests.servers import YooKassaServer
from tests.threads import at_once, errors

pytestmark = pytest.mark.django_db(transaction=True)

TopUp = Callable[..., Payment]


def credits(payment: Payment) -> list[int]:
    """Return what a payment has brought."""
    return list(LedgerEntry.objects.filter(key=f"payment:{payment.pk}").values_list("amount", flat=True))


def created_at_gateway(yookassa: YooKassaServer) -> int:
    """Return how many payments the shop has."""
    return sum(1 for _ in gateway_for("yookassa").list_payments(
        since=timezone.now() - timedelta(days=1), until=timezone.now() + timedelta(days=1)
    ))  # fmt: skip


def test_a_top_up_is_started_paid_and_credited(
    top_up: TopUp, yookassa: YooKassaServer, alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        payment = top_up(100)
        yookassa.do("pay", payment_id=payment.gateway_id)
        payment = check_payment(payment)

    alice.refresh_from_db()
    assert payment.status == PaymentStatus.SUCCEEDED
    assert payment.confirmation_url.startswith(yookassa.url)
    assert credits(payment) == [1000]
    assert alice.balance == 1060
    text = caplog.text
    assert (
        f"Payment created successfully: payment_id={payment.pk}, user_id={alice.pk}, "
        f"yukassa_payment_id={payment.gateway_id}, amount=100 rubles, status=pending"
    ) in text
    assert (
        f"Payment succeeded: payment_id={payment.pk}, user_id={alice.pk}, amount=10000 kopeks, "
        "credited 1000 points, new_balance=1060"
    ) in text


def test_a_package_credits_the_bonus_it_promised_even_if_it_changes_meanwhile(
    top_up: TopUp, yookassa: YooKassaServer
) -> None:
    Package.objects.update_or_create(rubles=500, defaults={"bonus_percent": 5, "is_active": True})
    payment = top_up(500)
    Package.objects.update(bonus_percent=50)
    yookassa.do("pay", payment_id=payment.gateway_id)

    check_payment(payment)

    assert payment.points == 5250
    assert credits(payment) == [5250]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"rubles": 0}, "amount"),
        ({"rubles": 10_001}, "amount"),
        ({"method": "cash"}, "method"),
        ({"email": "nonsense"}, "email"),
    ],
)
def test_what_can_not_be_paid_is_refused_by_field(
    top_up: TopUp, arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidPayment) as refused:
        top_up(**arguments)

    assert list(refused.value.extra["errors"]) == [field]
    assert not Payment.objects.exists()


def test_a_shop_that_sends_receipts_asks_for_an_address(
    top_up: TopUp, yookassa: YooKassaServer, settings: object
) -> None:
    settings.RECEIPT_REQUIRED = True
    yookassa.do("shop", fiscalization="avanpost")
    with pytest.raises(InvalidPayment):
        top_up()

    payment = top_up(email="alice@example.com")

    assert payment.body["receipt"]["customer"]["email"] == "alice@example.com"


def test_the_same_key_is_the_same_payment(top_up: TopUp, yookassa: YooKassaServer) -> None:
    assert top_up(idempotency_key="k").pk == top_up(idempotency_key="k").pk
    assert created_at_gateway(yookassa) == 1
    with pytest.raises(PaymentKeyReused):
        top_up(200, idempotency_key="k")


def test_a_lost_answer_is_made_good_under_the_same_key(top_up: TopUp, yookassa: YooKassaServer) -> None:
    yookassa.do("fault", fault="drop", processed=True, method="POST")
    with pytest.raises(GatewayUnavailable):
        top_up(idempotency_key="k")
    (lost,) = Payment.objects.all()
    assert (lost.status, lost.gateway_id) == (PaymentStatus.PENDING, None)

    found = check_payment(lost)

    assert found.gateway_id
    assert created_at_gateway(yookassa) == 1
    assert top_up(idempotency_key="k").pk == lost.pk


def test_a_refusal_ends_the_payment(top_up: TopUp, yookassa: YooKassaServer) -> None:
    yookassa.do("shop", methods=["bank_card"])

    with pytest.raises(GatewayRejected):
        top_up(method="sbp")

    assert Payment.objects.get().status == PaymentStatus.REJECTED


def test_one_that_was_refused_can_be_asked_for_again_under_its_key(
    top_up: TopUp, yookassa: YooKassaServer
) -> None:
    yookassa.do("fault", fault="unauthorized")
    with pytest.raises(GatewayRejected):
        top_up(idempotency_key="k")

    payment = top_up(idempotency_key="k")

    assert (payment.status, payment.failure, payment.finished_at) == (PaymentStatus.PENDING, "", None)
    yookassa.do("pay", payment_id=payment.gateway_id)
    assert check_due_payments(timezone.now() + timedelta(minutes=1)) == 1
    assert credits(payment) == [1000]


def test_it_is_asked_for_when_its_hour_is_over_however_long_the_interval(
    top_up: TopUp, yookassa: YooKassaServer
) -> None:
    payment = top_up()
    created_at = timezone.now() - timedelta(minutes=40)
    Payment.objects.update(created_at=created_at, checks=100)

    checked = check_payment(Payment.objects.get(pk=payment.pk))

    assert checked.next_check_at == created_at + timedelta(hours=1, seconds=20)


def test_one_that_was_given_up_is_not_sent_again(top_up: TopUp, yookassa: YooKassaServer) -> None:
    yookassa.do("fault", fault="error")
    with pytest.raises(GatewayUnavailable):
        top_up(idempotency_key="k")
    Payment.objects.update(created_at=timezone.now() - timedelta(hours=2))
    given_up = check_payment(Payment.objects.get())

    assert top_up(idempotency_key="k") == given_up
    assert given_up.status == PaymentStatus.CANCELED
    assert len(yookassa.requests_seen(method="POST")) == 1


def test_an_unpaid_payment_expires_and_is_credited_all_the_same_if_the_money_comes_late(
    top_up: TopUp, yookassa: YooKassaServer
) -> None:
    payment = top_up()
    yookassa.do("expire", payment_id=payment.gateway_id)
    assert check_payment(payment).status == PaymentStatus.CANCELED

    yookassa.do("pay", payment_id=payment.gateway_id, late=True)
    payment = apply_remote(payment, gateway_for("yookassa").fetch(str(payment.gateway_id)))

    assert payment.status == PaymentStatus.SUCCEEDED
    assert credits(payment) == [1000]


@pytest.mark.parametrize("difference", [{"amount": "1.00"}, {"currency": "USD"}, {"shop_id": "999"}])
def test_money_that_differs_is_quarantined_and_not_credited(
    top_up: TopUp, yookassa: YooKassaServer, difference: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id, **difference)

    payment = check_payment(payment)

    assert payment.status == PaymentStatus.PENDING
    assert credits(payment) == []
    found = Discrepancy.objects.get()
    assert (found.kind, found.payment_id) == (Discrepancy.Kind.MISMATCH, payment.pk)
    assert "Money quarantined" in caplog.text


def test_a_test_payment_is_worth_nothing_in_production(
    top_up: TopUp, yookassa: YooKassaServer, settings: object
) -> None:
    settings.YOOKASSA_TEST = "false"
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id, test=True)

    check_payment(payment)

    assert credits(payment) == []
    assert Discrepancy.objects.count() == 1


def test_a_hundred_at_once_credit_once(
    top_up: TopUp, yookassa: YooKassaServer, alice: User, each_database: str
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    remote = gateway_for("yookassa").fetch(str(payment.gateway_id))

    outcomes = at_once(*[lambda: apply_remote(Payment.objects.get(pk=payment.pk), remote)] * 100)

    assert errors(outcomes) == []
    assert credits(payment) == [1000]
    alice.refresh_from_db()
    assert alice.balance == 1060


def test_equal_starts_at_once_are_one_payment(
    alice: User, yookassa: YooKassaServer, each_database: str
) -> None:
    outcomes = at_once(
        *[
            lambda: start_payment(
                user=alice, rubles=100, method="card", idempotency_key="k", return_url="https://a.test/"
            )
        ]
        * 5
    )

    assert errors(outcomes) == []
    assert Payment.objects.count() == 1
    assert created_at_gateway(yookassa) == 1
