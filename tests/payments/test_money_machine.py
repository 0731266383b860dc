"""Any sequence of payments, lost answers, news in any order, refunds, deaths and hours keeps the money right.

The processes die at the boundaries of `crashes`: what they had committed stays, and others go on from there.
"""

import json
import uuid
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import timedelta

import pytest
import requests
from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as explore

from payments import audit, ledger, reconcile, webhooks
from payments.gateways.base import GatewayError
from payments.gateways.registry import gateway_for
from payments.models import LedgerEntry, Notification, Payment, PaymentStatus, Refund, RefundStatus
from payments.refunds import RefundRefused, check_refund, refundable_amount, request_refund
from payments.services import apply_remote, check_payment, start_payment
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.payments.crashes import boundaries
from tests.servers import YooKassaServer

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

DAY = timedelta(days=1)
EVENTS = ["payment.succeeded", "payment.canceled", "payment.waiting_for_capture"]
FAULTS = ["drop", "error", "bad_gateway", "processing", "too_many_requests", "not_json"]


class MoneyMachine(RuleBasedStateMachine):
    """A shop, a buyer, a member of staff, and everything that may come between them."""

    yookassa: YooKassaServer
    deaths: Counter[str]
    payments: Bundle[int] = Bundle("payments")

    @initialize()
    def open_the_shop(self) -> None:
        self.open = ExitStack()
        self.open.enter_context(transaction.atomic())
        self.fuse = self.open.enter_context(boundaries())
        self.yookassa.do("reset")
        self.yookassa.do("pause")
        self.buyer = UserFactory.create(username="buyer")
        self.staff = UserFactory.create(username="staff", is_staff=True)
        self.ready = True

    @rule(target=payments, rubles=st.sampled_from([1, 7, 100, 333]), method=st.sampled_from(["card", "sbp"]))
    def start(self, rubles: int, method: str) -> int:
        key = uuid.uuid4().hex
        rows = Payment.objects.filter(idempotency_key=key)
        while not rows.exists():  # should the process have died before that, the client asks again
            with self.fuse.process(), suppress(GatewayError):
                start_payment(
                    user=self.buyer,
                    rubles=rubles,
                    method=method,
                    idempotency_key=key,
                    return_url="https://a.test/",
                )
        return rows.get().pk

    @rule(payment=payments, late=st.booleans())
    def the_buyer_pays(self, payment: int, late: bool) -> None:
        self._at_the_shop("pay", payment_id=self._gateway_id(payment), late=late)

    @rule(payment=payments)
    def the_buyer_declines(self, payment: int) -> None:
        self._at_the_shop("decline", payment_id=self._gateway_id(payment))

    @rule(payment=payments)
    def it_is_asked_for(self, payment: int) -> None:
        with self.fuse.process(), suppress(GatewayError):
            check_payment(Payment.objects.get(pk=payment))

    @rule(payment=payments, event=st.sampled_from(EVENTS), times=st.integers(1, 3))
    def a_notification_comes(self, payment: int, event: str, times: int) -> None:
        self._announce(event, self._gateway_id(payment), times)

    @rule(payment=payments)
    def its_refunds_are_announced(self, payment: int) -> None:
        for refund in self._refunds_at_the_shop(payment):
            self._announce("refund.succeeded", refund, 1)

    @rule()
    def the_inbox_is_swept(self) -> None:
        with self.fuse.process():
            reconcile.sweep_notifications(timezone.now() + DAY)

    @rule(boundaries=st.integers(0, 6))
    def a_process_will_die(self, boundaries: int) -> None:
        self.fuse.light(boundaries)

    @rule(payment=payments, share=st.sampled_from([1, 2, 3]), force=st.booleans())
    def staff_gives_back(self, payment: int, share: int, force: bool) -> None:
        row = Payment.objects.get(pk=payment)
        amount, token = refundable_amount(row) // share, uuid.uuid4()
        for _ in range(2):  # whoever got no answer presses the button of the same form again
            with self.fuse.process(), suppress(RefundRefused):
                request_refund(
                    payment=row,
                    amount=amount,
                    reason="asked",
                    staff=self.staff,
                    form_token=token,
                    force=force,
                )

    @rule(payment=payments, kopeks=st.sampled_from([50, 100, 700]))
    def the_cabinet_gives_back(self, payment: int, kopeks: int) -> None:
        amount = f"{kopeks // 100}.{kopeks % 100:02d}"
        self._at_the_shop("refund", payment_id=self._gateway_id(payment), amount=amount)

    @rule(mode=st.sampled_from(["succeeded", "pending", "pending_then_canceled", "pending_then_succeeded"]))
    def refunds_will_be(self, mode: str) -> None:
        self.yookassa.do("refund_mode", mode=mode)

    @rule()
    def refunds_are_asked_for(self) -> None:
        for refund in Refund.objects.filter(status=RefundStatus.PENDING):
            with self.fuse.process(), suppress(GatewayError):
                check_refund(refund)

    @rule()
    def the_lists_are_compared(self) -> None:
        now = timezone.now()
        with self.fuse.process(), suppress(GatewayError):
            reconcile.compare(now - 30 * DAY, now + DAY)

    @rule(fault=st.sampled_from(FAULTS), processed=st.booleans(), count=st.integers(1, 2))
    def something_will_go_wrong(self, fault: str, processed: bool, count: int) -> None:
        self.yookassa.do("fault", fault=fault, processed=processed, count=count)

    @rule(points=st.integers(1, 500))
    def the_buyer_edits(self, points: int) -> None:
        with self.fuse.process(), suppress(ledger.InsufficientPoints):
            ledger.post(
                user_id=self.buyer.pk, amount=-points, kind=LedgerEntry.Kind.EDIT, key=f"t:{uuid.uuid4()}"
            )

    @rule(hours=st.sampled_from([1, 2, 24]))
    def time_passes(self, hours: int) -> None:
        self.yookassa.do("advance", seconds=hours * 3600)
        # The shop's clock went forward; for us to agree, our past moves back as far.
        for model in (Payment, Refund):
            model.objects.update(created_at=F("created_at") - timedelta(hours=hours))
        Notification.objects.update(received_at=F("received_at") - timedelta(hours=hours))

    @invariant()
    def no_payment_is_credited_twice_and_no_balance_drifts(self) -> None:
        if getattr(self, "ready", False):
            credited = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.PAYMENT).count()
            assert credited == Payment.objects.filter(status=PaymentStatus.SUCCEEDED).count()
            assert not ledger.broken_balances().exists()

    def teardown(self) -> None:
        """Let everything settle: then what the shop was paid is credited, and nothing more."""
        if not getattr(self, "ready", False):
            return
        try:
            self._settle()
        finally:
            transaction.set_rollback(True)
            self.open.close()
            self.deaths.update(self.fuse.crashes)

    def _settle(self) -> None:
        self.yookassa.do("clear_faults")
        self.yookassa.do("refund_mode", mode="succeeded")
        reconcile.sweep_notifications(timezone.now() + DAY)
        for _ in range(2):
            for payment in Payment.objects.filter(status=PaymentStatus.PENDING):
                check_payment(payment)
            self.refunds_are_asked_for()
        now = timezone.now()
        reconcile.compare(now - 30 * DAY, now + 30 * DAY)
        for payment in Payment.objects.exclude(gateway_id=None):
            remote = gateway_for("yookassa").fetch(str(payment.gateway_id))
            payment = apply_remote(payment, remote)
            credits = LedgerEntry.objects.filter(key=f"payment:{payment.pk}")
            paid = remote.status == "succeeded"
            assert credits.count() == int(paid), (payment.pk, remote.status)
            held = sum(refund.amount for refund in payment.refunds.filter(status=RefundStatus.SUCCEEDED))
            assert held == remote.refunded <= remote.amount
        assert [finding.invariant for finding in audit.findings() if finding.broken] == []
        balance = User.objects.values_list("balance", flat=True).get(pk=self.buyer.pk)
        assert balance >= 0

    def _announce(self, event: str, object_id: str, times: int) -> None:
        body = {"type": "notification", "event": event, "object": {"id": object_id}}
        for _ in range(times):
            with self.fuse.process():
                row = webhooks.receive(json.dumps(body).encode(), "127.0.0.1")
                webhooks.process_notification(row.pk)

    def _refunds_at_the_shop(self, payment: int) -> list[str]:
        now = timezone.now()
        with suppress(GatewayError):
            refunds = gateway_for("yookassa").list_refunds(since=now - 30 * DAY, until=now + 30 * DAY)
            return [refund.id for refund in refunds if refund.payment_id == self._gateway_id(payment)]
        return []

    def _at_the_shop(self, action: str, **arguments: object) -> None:
        with suppress(requests.HTTPError):  # what the shop refuses now, the buyer does not do
            self.yookassa.do(action, **arguments)

    def _gateway_id(self, payment: int) -> str:
        return Payment.objects.get(pk=payment).gateway_id or "unknown"


@pytest.mark.django_db
def test_no_sequence_of_events_loses_or_doubles_money(yookassa: YooKassaServer) -> None:
    assert django_settings.YOOKASSA_ENABLED
    deaths: Counter[str] = Counter()
    machine = type("Machine", (MoneyMachine,), {"yookassa": yookassa, "deaths": deaths})
    explore(
        machine,
        settings=hypothesis_settings(
            max_examples=80, stateful_step_count=30, derandomize=True, phases=[Phase.generate]
        ),
    )
    assert deaths.total() > 20, deaths
