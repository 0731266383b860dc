"""Money given back: points first, never more than was paid, and held until the outcome is known."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from payments import ledger
from payments.gateways.base import GatewayRejected, RemoteRefund
from payments.gateways.registry import gateway_for
from payments.gateways.yookassa import YooKassaGateway
from payments.models import Discrepancy, LedgerEntry, Payment, PaymentStatus, Refund, RefundStatus
from payments.refunds import (
    RefundRefused,
    check_refund,
    note_remote_refund,
    refundable_amount,
    request_refund,
)
from payments.services import check_payment
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.servers import YooKassaServer
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def paid(top_up: Callable[..., Payment], yookassa: YooKassaServer) -> Payment:
    """A top-up of 100 rubles, credited with 1000 points."""
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    return check_payment(payment)


@pytest.fixture
def staff(db: None) -> User:
    """Somebody who may give money back."""
    return UserFactory.create(username="staff", is_staff=True)


@pytest.fixture
def refund(paid: Payment, staff: User) -> Callable[..., Refund]:
    """Give money of the payment back; each call is a form of its own unless told."""

    def refund(kopeks: int = 10_000, **options: object) -> Refund:
        arguments = {"reason": "asked for", "staff": staff, "form_token": uuid.uuid4()} | options
        return request_refund(payment=paid, amount=kopeks, **arguments)

    return refund


def balance(user: User) -> int:
    """Return a user's balance as it is now."""
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def test_a_full_refund_takes_the_points_and_gives_the_money(
    refund: Callable[..., Refund], yookassa: YooKassaServer, alice: User, paid: Payment
) -> None:
    made = refund()

    assert made.status == RefundStatus.SUCCEEDED
    assert (made.points, balance(alice)) == (1000, 60)
    assert refundable_amount(paid) == 0
    assert gateway_for("yookassa").fetch(str(paid.gateway_id)).refunded == 10_000


def test_partial_refunds_take_their_share_and_the_last_one_the_rest(
    refund: Callable[..., Refund], alice: User, paid: Payment
) -> None:
    shares = [refund(3333).points, refund(3333).points, refund(3334).points]

    assert sum(shares) == 1000
    assert balance(alice) == 60
    with pytest.raises(RefundRefused):
        refund(1)


@pytest.mark.parametrize("kopeks", [0, -1, 10_001])
def test_an_amount_that_can_not_be_is_refused(
    refund: Callable[..., Refund], kopeks: int, alice: User
) -> None:
    with pytest.raises(RefundRefused):
        refund(kopeks)

    assert not Refund.objects.exists()
    assert balance(alice) == 1060


def test_a_double_click_is_one_refund(refund: Callable[..., Refund], yookassa: YooKassaServer) -> None:
    token = uuid.uuid4()

    assert refund(2000, form_token=token).pk == refund(2000, form_token=token).pk
    assert len(yookassa.requests_seen(method="POST", path="/v3/refunds")) == 1


def test_two_of_staff_at_once_can_not_give_back_more_than_was_paid(
    refund: Callable[..., Refund], paid: Payment, alice: User, each_database: str
) -> None:
    outcomes = at_once(*[lambda: refund(6000)] * 4)

    assert sum(isinstance(outcome, Refund) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, RefundRefused) for outcome in outcomes) == 3
    assert gateway_for("yookassa").fetch(str(paid.gateway_id)).refunded == 6000
    assert balance(alice) == 460


def test_spending_against_a_refund_never_overdraws(
    refund: Callable[..., Refund], paid: Payment, alice: User, each_database: str
) -> None:
    def spend() -> object:
        return ledger.post(user_id=alice.pk, amount=-100, kind=LedgerEntry.Kind.EDIT, key=f"t:{uuid.uuid4()}")

    at_once(refund, *[spend] * 4)

    assert balance(alice) >= 0
    assert not ledger.broken_balances().exists()


def test_spent_points_refuse_the_refund_unless_it_is_forced(
    refund: Callable[..., Refund], alice: User
) -> None:
    ledger.post(user_id=alice.pk, amount=-600, kind=LedgerEntry.Kind.EDIT, key="spent")
    with pytest.raises(RefundRefused, match="460"):
        refund()
    assert not Refund.objects.exists()

    made = refund(force=True)

    assert made.status == RefundStatus.SUCCEEDED
    assert (made.points, balance(alice)) == (460, 0)


def test_a_refund_that_is_canceled_later_gives_the_points_back(
    refund: Callable[..., Refund], yookassa: YooKassaServer, alice: User
) -> None:
    yookassa.do("refund_mode", mode="pending")
    made = refund()
    assert (made.status, balance(alice)) == (RefundStatus.PENDING, 60)

    yookassa.do("settle_refund", refund_id=made.gateway_id, status="canceled", reason="insufficient_funds")
    check_refund(made)

    made.refresh_from_db()
    assert made.status == RefundStatus.CANCELED
    assert balance(alice) == 1060


def test_a_refund_that_the_gateway_refuses_gives_the_points_back(
    refund: Callable[..., Refund], yookassa: YooKassaServer, alice: User
) -> None:
    yookassa.do("fault", fault="forbidden", path="/v3/refunds")

    assert refund().status == RefundStatus.CANCELED
    assert balance(alice) == 1060


def test_a_refusal_is_not_final_where_the_sweep_has_sent_it_as_well(
    refund: Callable[..., Refund], yookassa: YooKassaServer, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    yookassa.do("refund_mode", mode="pending")
    give_back = YooKassaGateway.refund

    def be_slow_and_then_refused(gateway: YooKassaGateway, **request: Any) -> RemoteRefund:
        monkeypatch.setattr(YooKassaGateway, "refund", give_back)
        check_refund(Refund.objects.get())
        raise GatewayRejected("The payment service refused the request.")

    monkeypatch.setattr(YooKassaGateway, "refund", be_slow_and_then_refused)
    made = refund()

    assert (made.status, balance(alice)) == (RefundStatus.PENDING, 60)
    yookassa.do("settle_refund", refund_id=made.gateway_id)
    check_refund(made)
    made.refresh_from_db()
    assert (made.status, balance(alice)) == (RefundStatus.SUCCEEDED, 60)


def test_a_refund_that_was_given_up_is_not_sent_by_a_sweep_that_has_not_heard(
    refund: Callable[..., Refund], yookassa: YooKassaServer, alice: User
) -> None:
    yookassa.do("fault", fault="drop", path="/v3/refunds")
    unheard = Refund.objects.get(pk=refund().pk)
    Refund.objects.update(created_at=timezone.now() - timedelta(hours=24))
    check_refund(Refund.objects.get())
    assert balance(alice) == 1060

    check_refund(unheard)

    assert Refund.objects.get().status == RefundStatus.CANCELED
    assert len(yookassa.requests_seen(method="POST", path="/v3/refunds")) == 1


@pytest.mark.parametrize("processed", [True, False])
def test_an_unknown_outcome_stays_held_until_it_is_known(
    refund: Callable[..., Refund],
    yookassa: YooKassaServer,
    alice: User,
    paid: Payment,
    processed: bool,
) -> None:
    yookassa.do("fault", fault="drop", processed=processed, path="/v3/refunds", method="POST")
    held = refund()
    assert (held.status, balance(alice), refundable_amount(paid)) == (RefundStatus.PENDING, 60, 0)

    check_refund(held)

    held.refresh_from_db()
    assert held.status == RefundStatus.SUCCEEDED
    assert gateway_for("yookassa").fetch(str(paid.gateway_id)).refunded == 10_000


def test_after_a_day_the_key_is_not_used_again_but_the_refund_is_looked_for(
    refund: Callable[..., Refund], yookassa: YooKassaServer, alice: User, paid: Payment
) -> None:
    yookassa.do("fault", fault="drop", processed=True, path="/v3/refunds", method="POST")
    held = refund(4000)
    Refund.objects.update(created_at=timezone.now() - timedelta(hours=24))
    held.refresh_from_db()

    check_refund(held)

    held.refresh_from_db()
    assert held.status == RefundStatus.SUCCEEDED
    assert len(yookassa.requests_seen(method="POST", path="/v3/refunds")) == 1


def test_a_refund_made_in_the_cabinet_is_recognised_once(
    paid: Payment, yookassa: YooKassaServer, alice: User
) -> None:
    made = yookassa.do("refund", payment_id=paid.gateway_id, amount="40.00")
    remote = gateway_for("yookassa").fetch_refund(made["id"])

    note_remote_refund(remote)
    note_remote_refund(remote)

    noted = Refund.objects.get()
    assert (noted.is_external, noted.amount, noted.points, noted.status) == (
        True,
        4000,
        400,
        RefundStatus.SUCCEEDED,
    )
    assert balance(alice) == 660


def test_a_refund_made_in_the_cabinet_is_heard_of_before_its_payment(
    top_up: Callable[..., Payment], yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    made = yookassa.do("refund", payment_id=payment.gateway_id, amount="40.00")

    note_remote_refund(gateway_for("yookassa").fetch_refund(made["id"]))

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.SUCCEEDED
    assert balance(alice) == 660
    assert not Discrepancy.objects.exists()


def test_a_refund_of_a_payment_nobody_knows_is_quarantined(yookassa: YooKassaServer, paid: Payment) -> None:
    made = yookassa.do("refund", payment_id=paid.gateway_id, amount="40.00")
    remote = gateway_for("yookassa").fetch_refund(made["id"])
    Payment.objects.update(gateway_id="another")

    note_remote_refund(remote)

    assert Discrepancy.objects.get().kind == Discrepancy.Kind.UNKNOWN_REFUND


def test_a_refund_that_can_be_placed_after_all_is_no_longer_for_a_person(
    yookassa: YooKassaServer, paid: Payment
) -> None:
    made = yookassa.do("refund", payment_id=paid.gateway_id, amount="40.00")
    remote = gateway_for("yookassa").fetch_refund(made["id"])
    Payment.objects.update(gateway_id="another")
    note_remote_refund(remote)
    assert Discrepancy.objects.get().resolved_at is None

    Payment.objects.update(gateway_id=paid.gateway_id)
    note_remote_refund(remote)

    discrepancy = Discrepancy.objects.get()
    assert discrepancy.resolved_at is not None
    assert discrepancy.resolution == f"It is refund {Refund.objects.get().pk} by now."
