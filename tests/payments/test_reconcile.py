"""What nobody told us: sweeps of what is open, and the gateway's lists against ours, both ways."""

import io
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.utils import timezone

import payments.audit
from payments import reports, services
from payments.gateways.base import RemotePayment, RemoteRefund
from payments.gateways.yookassa import YooKassaGateway
from payments.models import Discrepancy, Payment, PaymentStatus, Refund, RefundStatus
from payments.reconcile import (
    FAILURES_OF_AN_OUTAGE,
    Comparison,
    check_due_payments,
    check_due_refunds,
    compare,
)
from payments.refunds import check_refund, request_refund
from payments.services import check_payment
from qwenedit.users.models import User
from tests.factories import PaymentFactory
from tests.servers import YooKassaServer

pytestmark = pytest.mark.django_db(transaction=True)

TopUp = Callable[..., Payment]
HOUR = timedelta(hours=1)


def balance(user: User) -> int:
    """Return a user's balance as it is now."""
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def compare_today() -> Comparison:
    """Compare what was created in the last day."""
    now = timezone.now()
    return compare(now - timedelta(days=1), now + HOUR)


def found() -> list[tuple[str, str]]:
    """Return kind and object of every discrepancy."""
    return list(Discrepancy.objects.order_by("pk").values_list("kind", "gateway_id"))


def adds_up() -> bool:
    """Tell whether the audit of money finds nothing."""
    return not [finding for finding in payments.audit.findings() if finding.broken]


@pytest.fixture
def paid(top_up: TopUp, yookassa: YooKassaServer) -> Payment:
    """A top-up of 100 rubles, credited."""
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    return check_payment(payment)


def give_back(payment: Payment, kopeks: int = 10_000) -> Refund:
    """Give money back as staff would."""
    staff, _ = User.objects.get_or_create(username="staff", defaults={"is_staff": True})
    return request_refund(
        payment=payment, amount=kopeks, reason="asked for", staff=staff, form_token=uuid.uuid4()
    )


class TestTheSweeps:
    """Pending payments and refunds are asked for, with growing intervals."""

    def test_a_payment_nobody_told_of_is_credited_when_its_time_comes(
        self, top_up: TopUp, yookassa: YooKassaServer, alice: User
    ) -> None:
        payment = top_up()
        yookassa.do("pay", payment_id=payment.gateway_id)

        assert check_due_payments(timezone.now()) == 0
        assert check_due_payments(timezone.now() + timedelta(seconds=21)) == 1

        payment.refresh_from_db()
        assert payment.status == PaymentStatus.SUCCEEDED
        assert balance(alice) == 1060
        assert check_due_payments(timezone.now() + HOUR) == 0

    def test_a_pending_refund_is_asked_for_until_it_is_known(
        self, paid: Payment, yookassa: YooKassaServer, alice: User
    ) -> None:
        yookassa.do("refund_mode", mode="pending")
        refund = give_back(paid)
        soon = timezone.now() + timedelta(seconds=21)
        assert check_due_refunds(soon) == 1
        refund.refresh_from_db()
        assert refund.status == RefundStatus.PENDING

        yookassa.do("settle_refund", refund_id=refund.gateway_id, status="canceled")
        assert check_due_refunds(timezone.now() + HOUR) == 1
        refund.refresh_from_db()
        assert refund.status == RefundStatus.CANCELED
        assert balance(alice) == 1060

    def test_a_payment_that_never_reached_the_gateway_is_sent_again(
        self, top_up: TopUp, yookassa: YooKassaServer
    ) -> None:
        payment = top_up()
        Payment.objects.filter(pk=payment.pk).update(gateway_id=None, confirmation_url="")
        check_due_payments(timezone.now() + HOUR)
        payment.refresh_from_db()
        assert payment.gateway_id is not None
        assert compare_today().payments == 1

    def test_a_gateway_that_is_down_is_not_asked_for_every_row(
        self, top_up: TopUp, yookassa: YooKassaServer
    ) -> None:
        for _ in range(FAILURES_OF_AN_OUTAGE + 2):
            top_up()
        yookassa.do("fault", fault="unavailable", count=None, method="GET")

        assert check_due_payments(timezone.now() + HOUR) == FAILURES_OF_AN_OUTAGE
        assert len(yookassa.requests_seen(method="GET")) == FAILURES_OF_AN_OUTAGE
        yookassa.do("clear_faults")
        assert check_due_payments(timezone.now() + HOUR) == FAILURES_OF_AN_OUTAGE + 2

    def test_one_row_that_can_not_be_dealt_with_does_not_keep_the_others_waiting(
        self, top_up: TopUp, yookassa: YooKassaServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = top_up(), top_up()
        yookassa.do("pay", payment_id=second.gateway_id)
        real = services.mismatch

        def explode(payment: Payment, remote: Any) -> str:
            if payment.pk == first.pk:
                raise RuntimeError("a mistake of ours")
            return real(payment, remote)

        yookassa.do("pay", payment_id=first.gateway_id)
        monkeypatch.setattr(services, "mismatch", explode)
        assert check_due_payments(timezone.now() + HOUR) == 2
        second.refresh_from_db()
        assert second.status == PaymentStatus.SUCCEEDED

    def test_two_sweeps_of_a_kind_take_turns(self, top_up: TopUp) -> None:
        top_up()
        cache.add("payments:sweep:payments", 1)
        assert check_due_payments(timezone.now() + HOUR) == 0
        cache.delete("payments:sweep:payments")
        assert check_due_payments(timezone.now() + HOUR) == 1
        assert cache.get("payments:sweep:payments") is None

    def test_without_the_cache_they_go_on(self, top_up: TopUp, settings: Any, tmp_path: Any) -> None:
        top_up()
        settings.CACHES = {
            "default": {**settings.CACHES["default"], "LOCATION": f"unix://{tmp_path}/nobody.sock"}
        }
        assert check_due_payments(timezone.now() + HOUR) == 1


class TestTheComparison:
    """The gateway's lists, and ours."""

    def test_where_everything_agrees_it_finds_nothing(self, paid: Payment, yookassa: YooKassaServer) -> None:
        give_back(paid, 3000)
        assert compare_today() == Comparison(payments=1, refunds=1, credited=0, discrepancies=0)

    def test_what_was_paid_and_not_credited_is_credited_once(
        self, top_up: TopUp, yookassa: YooKassaServer, alice: User
    ) -> None:
        payment = top_up()
        yookassa.do("pay", payment_id=payment.gateway_id)
        assert compare_today().credited == 1
        assert compare_today().credited == 0
        assert balance(alice) == 1060
        assert adds_up()

    def test_one_whose_answer_was_lost_is_found_by_our_number(
        self, top_up: TopUp, yookassa: YooKassaServer, alice: User
    ) -> None:
        payment = top_up()
        yookassa.do("pay", payment_id=payment.gateway_id)
        Payment.objects.filter(pk=payment.pk).update(gateway_id=None, status=PaymentStatus.CANCELED)
        assert compare_today().credited == 1
        assert balance(alice) == 1060

    def test_a_paid_one_unknown_here_is_for_a_person(self, top_up: TopUp, yookassa: YooKassaServer) -> None:
        payment = top_up()
        yookassa.do("pay", payment_id=payment.gateway_id)
        gateway_id = payment.gateway_id
        payment.delete()
        assert compare_today().discrepancies == 1
        assert compare_today().discrepancies == 0
        assert found() == [("unknown_payment", gateway_id)]
        assert reports.open_discrepancies()["unknown_payment"] == 1

    def test_a_paid_one_that_differs_is_for_a_person(self, top_up: TopUp, yookassa: YooKassaServer) -> None:
        payment = top_up()
        yookassa.do("pay", payment_id=payment.gateway_id, amount="99.00")
        assert compare_today() == Comparison(payments=1, refunds=0, credited=0, discrepancies=1)
        assert found() == [("mismatch", payment.gateway_id)]

    def test_one_credited_here_that_the_gateway_does_not_know_is_for_a_person(
        self, paid: Payment, yookassa: YooKassaServer
    ) -> None:
        Payment.objects.filter(pk=paid.pk).update(gateway_id="gone")
        compare_today()
        assert ("missing", "gone") in found()

    def test_one_credited_here_and_canceled_there_is_for_a_person(
        self, top_up: TopUp, yookassa: YooKassaServer
    ) -> None:
        payment = top_up()
        yookassa.do("expire", payment_id=payment.gateway_id)
        services.confirm_payment(payment_id=payment.pk, remote_id=str(payment.gateway_id))
        compare_today()
        assert found() == [("status", payment.gateway_id)]

    def test_what_was_credited_while_the_list_was_read_is_no_difference(
        self, top_up: TopUp, yookassa: YooKassaServer, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment, listed = top_up(), YooKassaGateway.list_payments

        def and_then_it_is_paid(gateway: YooKassaGateway, **window: Any) -> Iterator[RemotePayment]:
            remotes = list(listed(gateway, **window))
            yookassa.do("pay", payment_id=payment.gateway_id)
            check_payment(payment)
            yield from remotes

        monkeypatch.setattr(YooKassaGateway, "list_payments", and_then_it_is_paid)
        assert compare_today().discrepancies == 0
        assert balance(alice) == 1060

    def test_a_refund_that_succeeded_while_the_list_was_read_is_no_difference(
        self, paid: Payment, yookassa: YooKassaServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        yookassa.do("refund_mode", mode="pending")
        refund, listed = give_back(paid), YooKassaGateway.list_refunds

        def and_then_it_succeeds(gateway: YooKassaGateway, **window: Any) -> Iterator[RemoteRefund]:
            remotes = list(listed(gateway, **window))
            yookassa.do("settle_refund", refund_id=refund.gateway_id)
            check_refund(refund)
            yield from remotes

        monkeypatch.setattr(YooKassaGateway, "list_refunds", and_then_it_succeeds)
        assert compare_today().discrepancies == 0

    def test_one_at_the_edge_of_the_period_is_asked_for_by_itself(
        self, paid: Payment, yookassa: YooKassaServer
    ) -> None:
        # Created here a moment before the gateway created it.
        moment = paid.created_at + timedelta(microseconds=1)
        assert compare(moment - HOUR, moment) == Comparison(0, 0, 0, 0)

    def test_a_refund_of_the_cabinet_is_recognised(
        self, paid: Payment, yookassa: YooKassaServer, alice: User
    ) -> None:
        yookassa.do("refund", payment_id=paid.gateway_id, amount="50.00")
        assert compare_today() == Comparison(payments=1, refunds=1, credited=0, discrepancies=0)
        assert Refund.objects.get().is_external
        assert balance(alice) == 560
        assert adds_up()

    def test_a_refund_we_gave_up_that_happened_is_for_a_person(
        self, paid: Payment, yookassa: YooKassaServer
    ) -> None:
        refund = give_back(paid)
        Refund.objects.filter(pk=refund.pk).update(status=RefundStatus.CANCELED)
        compare_today()
        assert found() == [("status", refund.gateway_id)]

    def test_a_refund_the_gateway_does_not_know_is_for_a_person(
        self, paid: Payment, yookassa: YooKassaServer
    ) -> None:
        refund = give_back(paid)
        Refund.objects.filter(pk=refund.pk).update(gateway_id="gone", key=uuid.uuid4())
        Refund.objects.filter(pk=refund.pk).update(status=RefundStatus.SUCCEEDED)
        compare_today()
        assert ("missing", "gone") in found()

    def test_payments_in_stars_are_nobody_elses_business(self, yookassa: YooKassaServer, alice: User) -> None:
        stars = PaymentFactory.create(
            user=alice,
            gateway="stars",
            method="stars",
            currency="XTR",
            gateway_id="charge",
            next_check_at=timezone.now(),
        )
        assert check_due_payments(timezone.now() + HOUR) == 0
        services.confirm_payment(payment_id=stars.pk, remote_id="charge")
        assert compare_today() == Comparison(0, 0, 0, 0)


class TestTheCommand:
    """`manage.py reconcile`, where Stars are not taken."""

    @pytest.fixture(autouse=True)
    def _without_stars(self, settings: Any) -> None:
        settings.STARS_ENABLED = False

    @staticmethod
    def run(**options: Any) -> str:
        printed = io.StringIO()
        arguments = [f"--{name}={value}" for name, value in options.items()]
        call_command("reconcile", *arguments, stdout=printed, no_color=True)
        return printed.getvalue()

    def test_it_says_what_it_saw_and_what_waits_for_a_person(
        self, top_up: TopUp, yookassa: YooKassaServer
    ) -> None:
        good, wrong = top_up(), top_up()
        yookassa.do("pay", payment_id=good.gateway_id)
        yookassa.do("pay", payment_id=wrong.gateway_id, amount="1.00")
        today = timezone.now().date().isoformat()
        lines = self.run(since=today).splitlines()
        assert lines[0] == "YooKassa: 2 payments and 0 refunds there, 1 credited here"
        assert lines[1].startswith(f"new  mismatch  {wrong.gateway_id}  amount 100 kopeks instead of 10000")
        assert lines[2] == "1 new discrepancies, 1 wait for a person"
        assert "old  mismatch" in self.run(since=today)

    def test_a_period_has_a_beginning_and_an_end(self, paid: Payment, yookassa: YooKassaServer) -> None:
        day = timezone.now().date()
        assert self.run(since=day - timedelta(days=9), until=day - timedelta(days=8)).startswith(
            "YooKassa: 0 payments"
        )
        with pytest.raises(CommandError, match="empty"):
            self.run(since="2026-11-02", until="2026-11-01")
        with pytest.raises(CommandError, match="neither"):
            self.run(since="yesterday")

    def test_a_gateway_that_does_not_answer_is_an_error(self, yookassa: YooKassaServer) -> None:
        yookassa.do("fault", fault="error", count=1)
        with pytest.raises(CommandError, match="does not answer"):
            self.run(since="2026-11-01")


def test_the_metrics_show_what_waits(client: Any, paid: Payment, top_up: TopUp) -> None:
    top_up()
    Discrepancy.objects.create(kind=Discrepancy.Kind.MISSING, gateway_id="gone", detail="")
    text = client.get("/metrics").content.decode()
    assert 'qwenedit_discrepancies_open{kind="missing"} 1.0' in text
    assert 'qwenedit_discrepancies_open{kind="mismatch"} 0.0' in text
    assert "qwenedit_pending_payments 1.0" in text
    assert "qwenedit_pending_refunds 0.0" in text
    assert "qwenedit_open_notifications 0.0" in text
