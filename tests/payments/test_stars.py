"""Top-ups in Telegram Stars: every charge credits once, and comes back in whole, against a real stand-in."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from structlog.testing import capture_logs
from telegram import Bot, LabeledPrice
from telegram.error import BadRequest

import payments.audit
from botapp.models import Chat
from payments import ledger, stars
from payments.gateways.base import GatewayRejected, GatewayUnavailable, NotFoundAtGateway
from payments.gateways.registry import gateway_for
from payments.models import Discrepancy, LedgerEntry, Package, Payment, PaymentStatus, Refund, RefundStatus
from payments.reconcile import Comparison, check_due_payments, check_due_refunds, compare, gateways_in_use
from payments.refunds import RefundRefused, check_refund, refundable_amount, request_refund
from payments.services import LIFETIME, InvalidPayment, PaymentKeyReused
from payments.stars import (
    Refusal,
    check_invoice,
    confirm_charge,
    expire_invoices,
    note_refund,
    offer_in_stars,
    start_stars_payment,
    why_not,
)
from payments.tasks import check_payments, reconcile
from qwenedit import bot_api
from qwenedit.users.models import User
from tests.factories import UserFactory
from tests.telegram import Telegram
from tests.threads import at_once, errors

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def balance(user: User) -> int:
    """Return a user's balance as it is now."""
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def adds_up() -> bool:
    """Tell whether the audit of money finds nothing."""
    return not [finding for finding in payments.audit.findings() if finding.broken]


def confirm(payment: Payment, charge_id: str = "charge", **other: Any) -> Payment | None:
    """Confirm a charge for an invoice, as the message about it would."""
    arguments = {
        "payload": str(payment.key),
        "payer": payment.user,
        "total": payment.amount,
        "currency": payment.currency,
    } | other
    return confirm_charge(charge_id=charge_id, **arguments)


def compare_today() -> Comparison:
    """Compare the last day with Telegram's list."""
    now = timezone.now()
    return compare(now - timedelta(days=1), now + HOUR, Payment.Gateway.STARS)


@pytest.fixture
def invoice(alice: User) -> Payment:
    """An invoice of alice's over 100 rubles: 67 Stars for 1000 points."""
    return start_stars_payment(user=alice, rubles=100)


@pytest.fixture
def pay(telegram: Telegram) -> Callable[..., str]:
    """Pay an invoice at Telegram, without the bot hearing of it; return the charge's id."""

    def pay(payment: Payment, chat: Chat) -> str:
        message = bot_api.call(
            lambda bot: bot.send_invoice(
                chat.pk, "Points", "Points", str(payment.key), "XTR", [LabeledPrice("Points", payment.amount)]
            )
        )
        return pay_message(telegram, chat, message.message_id)

    return pay


def pay_message(telegram: Telegram, chat: Chat, message_id: int) -> str:
    """Press "pay" below an invoice, and say yes in the bot's place; return the charge's id."""
    offset = None
    with ThreadPoolExecutor(1) as pool:
        paying = pool.submit(telegram.act, "pay", user_id=chat.pk, message_id=message_id)
        while not paying.done():
            for update in bot_api.call(partial(Bot.get_updates, offset=offset, timeout=1)):
                offset = update.update_id + 1
                query = update.pre_checkout_query
                if query is not None:
                    with suppress(BadRequest):  # one of an earlier payment
                        bot_api.call(
                            partial(Bot.answer_pre_checkout_query, pre_checkout_query_id=query.id, ok=True)
                        )
    return str(paying.result()["telegram_payment_charge_id"])


@pytest.fixture
def paid(invoice: Payment, alice_chat: Chat, pay: Callable[..., str]) -> Payment:
    """An invoice that was paid and credited."""
    payment = confirm(invoice, pay(invoice, alice_chat))
    assert payment is not None
    return payment


@pytest.fixture
def refund(db: None) -> Callable[..., Refund]:
    """Give a payment back as staff would."""
    staff = UserFactory.create(username="staff", is_staff=True)

    def refund(payment: Payment, **options: Any) -> Refund:
        arguments = {
            "amount": payment.amount,
            "reason": "asked for",
            "staff": staff,
            "form_token": uuid.uuid4(),
        } | options
        return request_refund(payment=payment, **arguments)

    return refund


class TestThePrice:
    """What Stars cost and bring."""

    def test_a_top_up_brings_the_points_of_its_rubles_for_as_many_stars_as_they_need(self, db: None) -> None:
        assert offer_in_stars(100) == stars.StarsOffer(stars=67, points=1000)
        assert offer_in_stars(300) == stars.StarsOffer(stars=200, points=3000)

    def test_a_packages_bonus_comes_on_top_and_costs_nothing(self, db: None) -> None:
        call_command("load_packages")
        assert Package.objects.get(rubles=500).points == 5250
        assert offer_in_stars(500) == stars.StarsOffer(stars=334, points=5250)

    def test_the_rate_is_a_setting(self, db: None, settings: Any) -> None:
        settings.POINTS_PER_STAR = 7
        assert offer_in_stars(1).stars == 2


class TestTheInvoice:
    """Started, and asked about before it is paid."""

    def test_it_is_a_pending_payment_that_no_gateway_is_asked_about(self, invoice: Payment) -> None:
        assert (invoice.gateway, invoice.method, invoice.currency) == ("stars", "stars", "XTR")
        assert (invoice.amount, invoice.points, invoice.status) == (67, 1000, PaymentStatus.PENDING)
        assert invoice.gateway_id is None

    def test_starting_one_is_logged_in_the_agreed_words(self, alice: User) -> None:
        with capture_logs() as lines:
            payment = start_stars_payment(user=alice, rubles=100)
        assert lines[-1]["event"] == (
            f"Payment created successfully: payment_id={payment.pk}, user_id={alice.pk}, "
            "amount=67 stars, status=pending"
        )

    def test_the_same_key_is_the_same_invoice(self, alice: User) -> None:
        first = start_stars_payment(user=alice, rubles=100, idempotency_key="update:1")
        assert start_stars_payment(user=alice, rubles=100, idempotency_key="update:1") == first
        with pytest.raises(PaymentKeyReused):
            start_stars_payment(user=alice, rubles=300, idempotency_key="update:1")

    def test_what_can_not_be_is_refused(self, alice: User, settings: Any) -> None:
        for rubles in (0, -5, settings.PAYMENT_MAX_AMOUNT + 1):
            with pytest.raises(InvalidPayment):
                start_stars_payment(user=alice, rubles=rubles)
        User.objects.filter(pk=alice.pk).update(is_blocked=True)
        alice.refresh_from_db()
        with pytest.raises(InvalidPayment):
            start_stars_payment(user=alice, rubles=100)
        settings.STARS_ENABLED = False
        with pytest.raises(InvalidPayment):
            start_stars_payment(user=UserFactory.create(), rubles=100)
        assert not Payment.objects.exists()

    def test_it_may_be_paid_by_whom_it_is_for(self, invoice: Payment, alice: User, settings: Any) -> None:
        asked = {
            "payload": str(invoice.key),
            "payer_id": alice.telegram_id,
            "total": 67,
            "currency": "XTR",
        }
        assert why_not(**asked) is None
        assert why_not(**asked | {"payer_id": 1002}) is Refusal.SOMEBODY_ELSES
        assert why_not(**asked | {"total": 66}) is Refusal.DIFFERENT
        assert why_not(**asked | {"currency": "RUB"}) is Refusal.DIFFERENT
        assert why_not(**asked | {"payload": "points"}) is Refusal.UNKNOWN
        assert why_not(**asked | {"payload": str(uuid.uuid4())}) is Refusal.UNKNOWN
        Payment.objects.filter(pk=invoice.pk).update(created_at=timezone.now() - LIFETIME)
        assert why_not(**asked) is Refusal.EXPIRED
        settings.STARS_ENABLED = False
        assert why_not(**asked) is Refusal.SWITCHED_OFF

    def test_it_may_not_be_paid_twice_or_by_somebody_blocked(self, invoice: Payment, alice: User) -> None:
        asked = {
            "payload": str(invoice.key),
            "payer_id": alice.telegram_id,
            "total": 67,
            "currency": "XTR",
        }
        User.objects.filter(pk=alice.pk).update(is_blocked=True)
        assert why_not(**asked) is Refusal.BLOCKED
        User.objects.filter(pk=alice.pk).update(is_blocked=False)
        confirm(invoice)
        assert why_not(**asked) is Refusal.PAID

    def test_unpaid_it_expires_after_an_hour_without_anybody_being_asked(
        self, invoice: Payment, telegram: Telegram
    ) -> None:
        check_payments()
        invoice.refresh_from_db()
        assert invoice.status == PaymentStatus.PENDING
        assert expire_invoices(timezone.now() + LIFETIME) == 1
        assert check_due_payments(timezone.now() + LIFETIME) == 0
        invoice.refresh_from_db()
        assert invoice.status == PaymentStatus.CANCELED
        assert telegram.calls() == []


class TestTheCharge:
    """Credited once, whatever is delivered how often."""

    def test_it_credits_what_was_promised(self, invoice: Payment, alice: User) -> None:
        payment = confirm(invoice)
        assert payment == invoice
        assert payment is not None
        assert (payment.status, payment.gateway_id) == (PaymentStatus.SUCCEEDED, "charge")
        assert balance(alice) == 1060
        assert adds_up()

    def test_it_is_logged_in_the_agreed_words(self, invoice: Payment, alice: User) -> None:
        with capture_logs() as lines:
            confirm(invoice)
        assert lines[-1]["event"] == (
            f"Payment succeeded: payment_id={invoice.pk}, user_id={alice.pk}, amount=67 stars, "
            "credited 1000 points, new_balance=1060"
        )
        assert LedgerEntry.objects.latest("pk").description == "Top-up of 67 ⭐"

    def test_delivered_again_it_changes_nothing(self, invoice: Payment, alice: User) -> None:
        assert confirm(invoice) == confirm(invoice)
        assert balance(alice) == 1060

    def test_it_credits_an_invoice_that_was_given_up(self, invoice: Payment, alice: User) -> None:
        expire_invoices(timezone.now() + LIFETIME)
        confirm(invoice)
        assert balance(alice) == 1060

    def test_a_second_charge_for_the_same_invoice_is_a_payment_of_its_own(
        self, invoice: Payment, alice: User
    ) -> None:
        first, second = confirm(invoice, "one"), confirm(invoice, "two")
        assert first != second
        assert confirm(invoice, "two") == second
        assert balance(alice) == 2060
        assert adds_up()

    def test_somebody_else_who_pays_gets_the_points(self, invoice: Payment, alice: User, bob: User) -> None:
        payment = confirm(invoice, payer=bob)
        assert payment is not None
        assert payment.user == bob
        assert confirm(invoice, payer=bob) == payment
        assert (balance(alice), balance(bob)) == (60, 1060)
        invoice.refresh_from_db()
        assert invoice.status == PaymentStatus.PENDING
        assert adds_up()

    @pytest.mark.parametrize("other", [{"total": 66}, {"currency": "RUB"}], ids=str)
    def test_another_sum_or_currency_is_quarantined(
        self, invoice: Payment, alice: User, other: dict[str, Any]
    ) -> None:
        assert confirm(invoice, **other) is None
        assert confirm(invoice, **other) is None
        assert balance(alice) == 60
        found = Discrepancy.objects.get()
        assert (found.kind, found.gateway_id, found.payment) == (Discrepancy.Kind.MISMATCH, "charge", invoice)

    @pytest.mark.parametrize("payload", ["", "top-up", str(uuid.UUID(int=5))])
    def test_one_for_nothing_we_sent_is_quarantined(self, invoice: Payment, payload: str) -> None:
        assert confirm(invoice, payload=payload) is None
        assert Discrepancy.objects.get().kind == Discrepancy.Kind.UNKNOWN_PAYMENT

    def test_a_charges_id_may_be_long(self, invoice: Payment, alice: User) -> None:
        confirm(invoice, "stx" + "A" * 200)
        assert balance(alice) == 1060

    @pytest.mark.postgres
    def test_delivered_fifty_times_at_once_it_credits_once(self, invoice: Payment, alice: User) -> None:
        outcomes = at_once(*[partial(confirm, invoice)] * 50)
        assert errors(outcomes) == []
        assert {payment.pk for payment in outcomes if isinstance(payment, Payment)} == {invoice.pk}
        assert balance(alice) == 1060
        assert adds_up()

    @pytest.mark.postgres
    def test_many_charges_and_payers_at_once_are_credited_once_each(
        self, invoice: Payment, alice: User, bob: User
    ) -> None:
        charges = [("one", alice), ("two", alice), ("three", bob)]
        outcomes = at_once(
            *(partial(confirm, invoice, charge, payer=payer) for charge, payer in charges for _ in range(8))
        )
        assert errors(outcomes) == []
        assert Payment.objects.filter(status=PaymentStatus.SUCCEEDED).count() == 3
        assert (balance(alice), balance(bob)) == (2060, 1060)
        assert adds_up()


class TestTheRefund:
    """Points first, then the whole charge; unknown outcomes stay held."""

    def test_it_takes_the_points_and_gives_the_stars(
        self, paid: Payment, refund: Callable[..., Refund], alice: User, telegram: Telegram
    ) -> None:
        with capture_logs() as lines:
            made = refund(paid)
        assert made.status == RefundStatus.SUCCEEDED
        assert made.gateway_id == paid.gateway_id
        assert balance(alice) == 60
        assert gateway_for("stars").fetch(str(paid.gateway_id)).refunded == 67
        assert "amount=67 stars, points=1000, status=succeeded" in lines[-1]["event"]
        assert refundable_amount(paid) == 0
        assert adds_up()

    def test_a_part_is_refused(self, paid: Payment, refund: Callable[..., Refund], alice: User) -> None:
        with pytest.raises(RefundRefused, match="in full"):
            refund(paid, amount=10)
        assert balance(alice) == 1060

    def test_spent_points_refuse_it(self, paid: Payment, refund: Callable[..., Refund], alice: User) -> None:
        ledger.post(user_id=alice.pk, amount=-500, kind=LedgerEntry.Kind.EDIT, key="spent")
        with pytest.raises(RefundRefused):
            refund(paid)
        assert refund(paid, force=True).points == 560

    def test_one_that_was_given_back_elsewhere_already_has_succeeded(
        self, paid: Payment, refund: Callable[..., Refund], alice: User, telegram: Telegram
    ) -> None:
        telegram.act("refund", telegram_payment_charge_id=paid.gateway_id)
        made = refund(paid)
        assert made.status == RefundStatus.SUCCEEDED
        note_refund(charge_id=str(paid.gateway_id), total=67)
        assert Refund.objects.get() == made
        assert balance(alice) == 60

    def test_a_refusal_gives_the_points_back(
        self, invoice: Payment, refund: Callable[..., Refund], alice: User, alice_chat: Chat
    ) -> None:
        payment = confirm(invoice, "a charge that Telegram does not know")
        made = refund(payment)
        assert (made.status, made.failure) == (RefundStatus.CANCELED, "Charge_not_found")
        assert balance(alice) == 1060

    @pytest.mark.parametrize("processed", [True, False])
    def test_an_unknown_outcome_stays_held_until_it_is_known(
        self,
        paid: Payment,
        refund: Callable[..., Refund],
        alice: User,
        telegram: Telegram,
        processed: bool,
    ) -> None:
        telegram.fault(method="refundStarPayment", drop=True, processed=processed)
        held = refund(paid)
        assert (held.status, balance(alice), refundable_amount(paid)) == (RefundStatus.PENDING, 60, 0)

        assert check_due_refunds(timezone.now() + HOUR) == 1

        held.refresh_from_db()
        assert (held.status, balance(alice)) == (RefundStatus.SUCCEEDED, 60)
        assert compare_today() == Comparison(payments=1, refunds=1, credited=0, discrepancies=0)

    def test_after_a_day_telegrams_list_decides(
        self, paid: Payment, refund: Callable[..., Refund], alice: User, telegram: Telegram
    ) -> None:
        telegram.fault(method="refundStarPayment", drop=True, processed=True)
        held = refund(paid)
        long_ago = timezone.now() - timedelta(hours=24)
        Refund.objects.update(created_at=long_ago)
        held.refresh_from_db()
        check_refund(held)
        held.refresh_from_db()
        assert held.status == RefundStatus.SUCCEEDED
        assert len(telegram.calls("refundStarPayment")) == 1

    def test_after_a_day_one_that_never_happened_gives_the_points_back(
        self, paid: Payment, refund: Callable[..., Refund], alice: User, telegram: Telegram
    ) -> None:
        telegram.fault(method="refundStarPayment", drop=True)
        held = refund(paid)
        Refund.objects.update(created_at=timezone.now() - timedelta(hours=24))
        held.refresh_from_db()
        check_refund(held)
        held.refresh_from_db()
        assert (held.status, balance(alice)) == (RefundStatus.CANCELED, 1060)

    def test_one_made_elsewhere_is_recognised_once(
        self, paid: Payment, alice: User, telegram: Telegram
    ) -> None:
        telegram.act("refund", telegram_payment_charge_id=paid.gateway_id)
        for _ in range(2):
            note_refund(charge_id=str(paid.gateway_id), total=67)
        made = Refund.objects.get()
        assert (made.is_external, made.points, balance(alice)) == (True, 1000, 60)
        assert compare_today().discrepancies == 0
        assert adds_up()

    def test_one_of_a_charge_nobody_knows_is_for_a_person(self, telegram: Telegram) -> None:
        note_refund(charge_id="stranger", total=67)
        assert Discrepancy.objects.get().kind == Discrepancy.Kind.UNKNOWN_REFUND

    @pytest.mark.postgres
    def test_two_of_staff_and_telegram_at_once_give_back_once(
        self, paid: Payment, refund: Callable[..., Refund], alice: User, telegram: Telegram
    ) -> None:
        outcomes = at_once(*[partial(refund, paid)] * 4)
        assert sum(isinstance(outcome, Refund) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, RefundRefused) for outcome in outcomes) == 3
        assert balance(alice) == 60
        assert adds_up()

    @pytest.mark.postgres
    def test_spending_against_it_never_overdraws(
        self, paid: Payment, refund: Callable[..., Refund], alice: User
    ) -> None:
        def spend(number: int) -> object:
            return ledger.post(
                user_id=alice.pk, amount=-300, kind=LedgerEntry.Kind.EDIT, key=f"spend:{number}"
            )

        at_once(partial(refund, paid), *(partial(spend, number) for number in range(6)))
        assert balance(alice) >= 0
        assert not ledger.broken_balances().exists()


class TestTheComparison:
    """Telegram's list against ours, both ways."""

    def test_where_everything_agrees_it_finds_nothing(self, paid: Payment) -> None:
        assert compare_today() == Comparison(payments=1, refunds=0, credited=0, discrepancies=0)

    def test_a_charge_that_nobody_told_us_of_is_credited_once(
        self, invoice: Payment, alice: User, alice_chat: Chat, pay: Callable[..., str]
    ) -> None:
        pay(invoice, alice_chat)
        expire_invoices(timezone.now() + LIFETIME)
        assert compare_today() == Comparison(payments=1, refunds=0, credited=1, discrepancies=0)
        assert compare_today().credited == 0
        assert balance(alice) == 1060

    def test_staff_may_look_an_invoice_up(
        self, invoice: Payment, alice: User, alice_chat: Chat, pay: Callable[..., str]
    ) -> None:
        assert check_invoice(invoice).status == PaymentStatus.PENDING
        pay(invoice, alice_chat)
        assert check_invoice(invoice).status == PaymentStatus.SUCCEEDED

    def test_a_charge_for_nothing_we_know_is_for_a_person(
        self, invoice: Payment, alice_chat: Chat, pay: Callable[..., str]
    ) -> None:
        charge = pay(invoice, alice_chat)
        invoice.delete()
        assert compare_today().discrepancies == 1
        assert compare_today().discrepancies == 0
        assert Discrepancy.objects.get().gateway_id == charge

    def test_one_credited_here_that_telegram_does_not_know_is_for_a_person(
        self, invoice: Payment, telegram: Telegram
    ) -> None:
        confirm(invoice, "invented")
        compare_today()
        assert Discrepancy.objects.get().kind == Discrepancy.Kind.MISSING

    def test_a_refund_made_elsewhere_is_recognised(
        self, paid: Payment, alice: User, telegram: Telegram
    ) -> None:
        telegram.act("refund", telegram_payment_charge_id=paid.gateway_id)
        assert compare_today() == Comparison(payments=1, refunds=1, credited=0, discrepancies=0)
        assert Refund.objects.get().is_external
        assert balance(alice) == 60

    def test_the_daily_task_compares_both_gateways(
        self, invoice: Payment, alice: User, alice_chat: Chat, pay: Callable[..., str], yookassa: Any
    ) -> None:
        pay(invoice, alice_chat)
        reconcile()
        assert balance(alice) == 1060
        assert yookassa.requests_seen(method="GET", path="/v3/payments")

    def test_a_gateway_that_is_off_and_was_never_used_is_left_alone(
        self, invoice: Payment, settings: Any
    ) -> None:
        settings.YOOKASSA_ENABLED = settings.STARS_ENABLED = False
        assert gateways_in_use() == [Payment.Gateway.STARS]


class TestTheGateway:
    """What Telegram's answers mean."""

    def test_a_long_list_is_read_from_its_end(
        self, alice: User, alice_chat: Chat, pay: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("payments.gateways.stars.PAGE_SIZE", 2)
        gateway = gateway_for("stars")
        now = timezone.now()
        window = {"since": now - HOUR, "until": now + HOUR}
        charges: list[str] = []
        for length in range(1, 8):
            payment = start_stars_payment(user=alice, rubles=100 + length)
            charges.append(pay(payment, alice_chat))
            assert {remote.id for remote in gateway.list_payments(**window)} == {*charges}
        assert gateway.fetch(charges[0]).amount == offer_in_stars(101).stars
        assert list(gateway.list_payments(since=now + HOUR, until=now + 2 * HOUR)) == []

    @pytest.mark.parametrize(
        ("fault", "expected"),
        [
            ({"code": 400, "description": "Bad Request: USER_BOT_INVALID"}, GatewayRejected),
            ({"code": 403}, GatewayRejected),
            ({"code": 429, "retry_after": 3}, GatewayUnavailable),
            ({"code": 500}, GatewayUnavailable),
            ({"code": 502}, GatewayUnavailable),
            ({"drop": True}, GatewayUnavailable),
        ],
        ids=str,
    )
    def test_a_failure_is_a_refusal_or_an_unknown_outcome(
        self, telegram: Telegram, fault: dict[str, Any], expected: type[Exception]
    ) -> None:
        telegram.fault(method="getStarTransactions", **fault)
        with pytest.raises(expected):
            gateway_for("stars").fetch("charge")

    def test_what_telegram_does_not_know_is_not_found(self, telegram: Telegram) -> None:
        with pytest.raises(NotFoundAtGateway):
            gateway_for("stars").fetch("charge")
        with pytest.raises(NotFoundAtGateway):
            gateway_for("stars").fetch_refund("charge")
