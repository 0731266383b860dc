"""Top-ups in the admin: everything that is known of one on its page, and the gateway asked at once."""

from collections.abc import Callable

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from payments.models import Discrepancy, Payment, PaymentStatus, RefundStatus
from payments.services import LIFETIME
from payments.stars import expire_invoices, start_stars_payment
from qwenedit.users.models import User
from tests.admin.forms import messages
from tests.factories import DiscrepancyFactory, PaymentFactory, RefundFactory
from tests.servers import YooKassaServer
from tests.telegram import Telegram

LIST = "admin:payments_payment_changelist"
Hire = Callable[..., Client]


def page_url(payment: Payment) -> str:
    return reverse("admin:payments_payment_change", args=[payment.pk])


def ask_url(payment: Payment) -> str:
    return reverse("admin:payments_payment_ask_about_this", args=[payment.pk])


def found(client: Client, **query: object) -> set[Payment]:
    return set(client.get(reverse(LIST), query).context["cl"].result_list)


def test_the_page_of_a_payment_tells_all_that_happened(boss: Client, alice: User) -> None:
    payment = PaymentFactory.create(user=alice, status=PaymentStatus.SUCCEEDED)
    refund = RefundFactory.create(payment=payment, status=RefundStatus.CANCELED, failure="no <money>")
    DiscrepancyFactory.create(payment=payment, detail="shop <b> instead of ours")

    text = boss.get(page_url(payment)).text

    for told in (
        "100.00\N{NO-BREAK SPACE}₽",
        payment.gateway_id,
        f"payment:{payment.pk}",
        f"refund:{refund.pk}",
        f"refund:{refund.pk}:returned",
        "no &lt;money&gt;",
        "shop &lt;b&gt; instead of ours",
        reverse("admin:payments_refund_change", args=[refund.pk]),
    ):
        assert told in text
    assert "shop <b>" not in text


def test_payments_are_found_by_what_people_write_of_them(boss: Client, alice: User, bob: User) -> None:
    hers, his = PaymentFactory.create(user=alice, pk=4711), PaymentFactory.create(user=bob, pk=4712)

    assert found(boss, q="alice") == {hers}
    assert found(boss, q=hers.gateway_id) == {hers}
    assert found(boss, q="#4712") == {his}
    assert found(boss, q=str(bob.telegram_id)) == {his}
    assert found(boss, q="nobody") == set()
    assert found(boss, status__exact="pending") == {hers, his}


def test_asking_the_gateway_credits_what_was_paid_without_news(
    boss: Client, top_up: Callable[..., Payment], yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    assert ask_url(payment) in boss.get(page_url(payment)).text

    answer = boss.get(ask_url(payment), follow=True)
    boss.get(ask_url(payment))

    payment.refresh_from_db()
    alice.refresh_from_db()
    assert (payment.status, alice.balance) == (PaymentStatus.SUCCEEDED, 1060)
    assert messages(answer) == f"payment {payment.pk}: succeeded"


def test_a_sum_that_differs_is_shown_and_not_credited(
    boss: Client, top_up: Callable[..., Payment], yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id, amount="1.00")

    answer = boss.get(ask_url(payment), follow=True)

    alice.refresh_from_db()
    assert alice.balance == 60
    assert "something that does not add up" in messages(answer)
    assert "amount 100 kopeks instead of 10000" in answer.text
    assert Discrepancy.objects.get().payment == payment


def test_a_gateway_that_does_not_answer_is_no_server_error(
    boss: Client, alice: User, settings: object
) -> None:
    settings.SANDBOX_YOOKASSA_URL = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    payment = PaymentFactory.create(user=alice)

    answer = boss.get(ask_url(payment), follow=True)

    payment.refresh_from_db()
    assert payment.status == PaymentStatus.PENDING
    assert "does not answer" in messages(answer)


def test_a_payment_that_was_refused_is_not_started_again_by_asking(
    boss: Client, alice: User, yookassa: YooKassaServer
) -> None:
    refused = PaymentFactory.create(user=alice, status=PaymentStatus.REJECTED, gateway_id=None)

    assert ask_url(refused) not in boss.get(page_url(refused)).text
    answer = boss.post(
        reverse(LIST), {"action": "ask_gateway", "_selected_action": [refused.pk]}, follow=True
    )

    assert "never reached its gateway" in messages(answer)
    assert yookassa.requests_seen() == []


def test_an_invoice_in_stars_is_looked_up_at_telegram_also_after_it_was_given_up(
    boss: Client, alice: User, telegram: Telegram
) -> None:
    invoice = start_stars_payment(user=alice, rubles=100)
    assert "pending" in messages(boss.get(ask_url(invoice), follow=True))
    expire_invoices(timezone.now() + LIFETIME)
    assert "canceled" in messages(boss.get(ask_url(invoice), follow=True))
    assert len(telegram.calls("getStarTransactions")) == 2


def test_only_those_who_may_ask_the_gateway(staff: Hire, alice: User) -> None:
    payment = PaymentFactory.create(user=alice)

    assert staff("view_payment", "refund_payment").get(ask_url(payment)).status_code == 403


def test_several_payments_are_not_given_back_at_once(boss: Client, alice: User) -> None:
    rows = [PaymentFactory.create(user=alice, status=PaymentStatus.SUCCEEDED) for _row in range(2)]
    one = {"action": "refund", "_selected_action": [rows[0].pk]}
    two = {"action": "refund", "_selected_action": [row.pk for row in rows]}

    assert boss.post(reverse(LIST), one).headers["Location"] == reverse(
        "admin:payments_payment_give_back", args=[rows[0].pk]
    )
    assert "one at a time" in messages(boss.post(reverse(LIST), two, follow=True))


@pytest.mark.parametrize("name", ["payment", "refund", "notification", "discrepancy"])
@pytest.mark.parametrize("page", ["add", "change", "delete"])
def test_not_even_a_superuser_edits_what_happened(name: str, page: str, boss: Client, job: object) -> None:
    rows = apps.get_model("payments", name)._default_manager
    args = [] if page == "add" else [rows.latest("pk").pk]
    before = list(rows.values())

    answer = boss.post(
        reverse(f"admin:payments_{name}_{page}", args=args), {"status": "canceled", "post": "yes"}
    )

    assert answer.status_code == 403
    assert list(rows.values()) == before
