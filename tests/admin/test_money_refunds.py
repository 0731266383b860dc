"""Money given back in the admin, at a shop of the sandbox: once a form, and never more than was paid."""

import uuid
from collections.abc import Callable
from functools import partial
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from botapp.models import Chat
from payments import audit, ledger
from payments.models import LedgerEntry, Payment, PaymentStatus, Refund, RefundStatus
from payments.refunds import refundable_amount
from payments.services import check_payment
from qwenedit.users.models import User
from tests.admin.conftest import browser
from tests.admin.forms import filled, messages
from tests.factories import PaymentFactory, UserFactory
from tests.servers import YooKassaServer
from tests.threads import at_once, errors

Hire = Callable[..., Client]


@pytest.fixture
def paid(top_up: Callable[..., Payment], yookassa: YooKassaServer) -> Payment:
    """Alice's top-up of 100 rubles, credited with 1000 points beside her 60."""
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    return check_payment(payment)


def form_url(payment: Payment) -> str:
    return reverse("admin:payments_payment_give_back", args=[payment.pk])


def page_url(payment: Payment) -> str:
    return reverse("admin:payments_payment_change", args=[payment.pk])


def balance(user: User) -> int:
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def spend(user: User, points: int) -> None:
    ledger.charge_job(user_id=user.pk, job_id=1, points=points, description="Edit")


def test_a_payment_is_given_back_with_a_reason(
    boss: Client, root: User, paid: Payment, alice: User, yookassa: YooKassaServer
) -> None:
    button = reverse("admin:payments_payment_refund_this", args=[paid.pk])
    assert button in boss.get(page_url(paid)).text

    form = boss.get(button, follow=True)
    facts = {str(name): str(fact) for name, fact in form.context["facts"]}
    assert facts["Can be given back"] == "100.00\N{NO-BREAK SPACE}₽"
    assert facts["Balance of the user, points"] == "1060"
    assert facts["Points taken for 100.00\N{NO-BREAK SPACE}₽"] == "1000"
    assert Refund.objects.count() == 0

    answer = boss.post(form_url(paid), filled(form, reason="asked by mail"), follow=True)

    refund = paid.refunds.get()
    assert (refund.status, refund.amount, refund.points) == (RefundStatus.SUCCEEDED, 10_000, 1000)
    assert (refund.reason, refund.staff) == ("asked by mail", root)
    assert balance(alice) == 60
    assert yookassa.requests_seen(method="POST", path="/v3/refunds")[0]["status"] == 200
    assert "100.00\N{NO-BREAK SPACE}₽ given back; 1000 points taken, the balance is 60." in messages(answer)
    assert "asked by mail" in answer.text
    assert "asked by mail" in LogEntry.objects.get(object_id=str(paid.pk)).change_message
    assert button not in answer.text


def test_a_part_is_given_back_and_then_the_rest(boss: Client, paid: Payment, alice: User) -> None:
    boss.post(form_url(paid), filled(boss.get(form_url(paid)), amount="33.33", reason="a part"))
    assert balance(alice) == 1060 - 333

    rest = boss.get(form_url(paid))
    assert rest.context["form"]["amount"].value() == "66.67"
    boss.post(form_url(paid), filled(rest, reason="the rest"))

    assert sorted(paid.refunds.values_list("amount", "points", "status")) == [
        (3_333, 333, RefundStatus.SUCCEEDED),
        (6_667, 667, RefundStatus.SUCCEEDED),
    ]
    assert balance(alice) == 60
    nothing = boss.get(form_url(paid), follow=True)
    assert "Nothing of this payment is left" in messages(nothing)


def test_the_points_of_an_amount_are_shown_before_it_is_given_back(
    boss: Client, paid: Payment, alice: User
) -> None:
    looked = boss.post(form_url(paid), filled(boss.get(form_url(paid)), amount="12.50", preview="1"))

    facts = {str(name): fact for name, fact in looked.context["facts"]}
    assert facts["Points taken for 12.50\N{NO-BREAK SPACE}₽"] == 125
    assert not looked.context["form"].errors
    assert (Refund.objects.count(), balance(alice)) == (0, 1060)


def test_a_form_that_is_sent_twice_gives_back_once(
    boss: Client, paid: Payment, alice: User, yookassa: YooKassaServer
) -> None:
    form = filled(boss.get(form_url(paid)), amount="20", reason="double click")

    first = boss.post(form_url(paid), form, follow=True)
    second = boss.post(form_url(paid), form, follow=True)

    assert messages(first) == messages(second)
    assert paid.refunds.count() == len(yookassa.requests_seen(method="POST", path="/v3/refunds")) == 1
    assert balance(alice) == 1060 - 200
    assert LogEntry.objects.filter(object_id=str(paid.pk)).count() == 1


def test_a_form_that_was_sent_before_is_not_sent_again_with_another_amount(
    boss: Client, paid: Payment
) -> None:
    form = filled(boss.get(form_url(paid)), amount="20", reason="first")
    boss.post(form_url(paid), form)

    answer = boss.post(form_url(paid), form | {"amount": "30"}, follow=True)

    assert "This form was sent before" in messages(answer)
    assert paid.refunds.get().amount == 2_000


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"amount": "100.01"}, "__all__"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "0.001"}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "ten"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "99999999999999999999"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"reason": ""}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"form_token": "nonsense"}, "form_token"),
    ],
)
def test_what_makes_no_sense_is_refused(
    typed: dict[str, str], field: str, boss: Client, paid: Payment, alice: User
) -> None:
    form = boss.get(form_url(paid))

    answer = boss.post(form_url(paid), filled(form, **{"reason": "asked", **typed}))

    assert list(answer.context["form"].errors) == [field]
    assert answer.context["form"].errors[field][0] in unescape(answer.text)
    assert (Refund.objects.count(), balance(alice)) == (0, 1060)


def test_nothing_is_given_back_without_the_permission(staff: Hire, paid: Payment, alice: User) -> None:
    form = {"amount": "10", "reason": "mine", "form_token": str(uuid.uuid4())}
    looks_only, cannot_look = staff("view_payment"), staff("refund_payment")

    assert form_url(paid) not in looks_only.get(page_url(paid)).text
    for client in (looks_only, cannot_look):
        assert client.get(form_url(paid)).status_code == 403
        assert client.post(form_url(paid), form).status_code == 403
    assert (Refund.objects.count(), balance(alice)) == (0, 1060)


def test_staff_with_the_permission_give_back(staff: Hire, paid: Payment, alice: User) -> None:
    clerk = staff("view_payment", "refund_payment")

    form = clerk.get(form_url(paid))
    clerk.post(form_url(paid), filled(form, amount="10.00", reason="asked"))

    assert paid.refunds.get().status == RefundStatus.SUCCEEDED
    assert balance(alice) == 960


def test_spent_points_refuse_a_refund_unless_somebody_may_force_it(
    staff: Hire, boss: Client, paid: Payment, alice: User
) -> None:
    spend(alice, 900)
    clerk = staff("view_payment", "refund_payment")
    form = clerk.get(form_url(paid))
    assert "force" not in form.context["form"].fields

    refused = clerk.post(form_url(paid), filled(form, reason="asked", force="on"))

    assert "1000 points would have to be taken back, the user has 160." in refused.text
    assert (Refund.objects.count(), balance(alice)) == (0, 160)

    forced = boss.post(
        form_url(paid), filled(boss.get(form_url(paid)), reason="bank's order", force="on"), follow=True
    )

    refund = paid.refunds.get()
    assert (refund.status, refund.points, refund.is_forced) == (RefundStatus.SUCCEEDED, 160, True)
    assert balance(alice) == 0
    assert "160 points taken, the balance is 0." in messages(forced)


def test_a_refusal_can_be_corrected_in_the_same_form(boss: Client, paid: Payment, alice: User) -> None:
    spend(alice, 900)
    refused = boss.post(form_url(paid), filled(boss.get(form_url(paid)), reason="asked"))

    boss.post(form_url(paid), filled(refused, amount="16"))

    assert (paid.refunds.get().points, balance(alice)) == (160, 0)


def test_a_refund_that_the_gateway_cancels_is_told_as_such(
    boss: Client, paid: Payment, alice: User, yookassa: YooKassaServer
) -> None:
    yookassa.do("refund_mode", mode="canceled", reason="insufficient_funds")

    answer = boss.post(form_url(paid), filled(boss.get(form_url(paid)), reason="asked"), follow=True)

    assert paid.refunds.get().status == RefundStatus.CANCELED
    assert "Not given back" in messages(answer)
    assert "insufficient_funds" in messages(answer)
    assert balance(alice) == 1060


def test_a_refund_nobody_knows_of_is_held_until_the_gateway_is_asked(
    boss: Client, paid: Payment, alice: User, yookassa: YooKassaServer
) -> None:
    yookassa.do("fault", fault="error", method="POST", path="/v3/refunds", processed=True)

    answer = boss.post(form_url(paid), filled(boss.get(form_url(paid)), reason="asked"), follow=True)

    refund = paid.refunds.get()
    assert refund.status == RefundStatus.PENDING
    assert "Nobody knows yet" in messages(answer)
    assert balance(alice) == 60

    ask = reverse("admin:payments_refund_ask_about_this", args=[refund.pk])
    asked = boss.get(ask, follow=True)

    refund.refresh_from_db()
    assert refund.status == RefundStatus.SUCCEEDED
    assert "succeeded" in messages(asked)
    assert balance(alice) == 60
    assert ask not in asked.text


def test_asking_about_a_payment_settles_its_refunds_too(
    boss: Client, paid: Payment, alice: User, yookassa: YooKassaServer
) -> None:
    yookassa.do("refund_mode", mode="pending")
    boss.post(form_url(paid), filled(boss.get(form_url(paid)), reason="asked"))
    refund = paid.refunds.get()
    assert refund.status == RefundStatus.PENDING
    yookassa.do("settle_refund", refund_id=refund.gateway_id, status="canceled", reason="rejected_by_payee")

    boss.get(reverse("admin:payments_payment_ask_about_this", args=[paid.pk]))

    refund.refresh_from_db()
    assert (refund.status, balance(alice)) == (RefundStatus.CANCELED, 1060)


def test_pending_refunds_are_listed_first_and_asked_for_together(
    boss: Client, paid: Payment, yookassa: YooKassaServer
) -> None:
    yookassa.do("refund_mode", mode="pending")
    boss.post(form_url(paid), filled(boss.get(form_url(paid)), amount="1", reason="old"))
    yookassa.do("refund_mode", mode="succeeded")
    boss.post(form_url(paid), filled(boss.get(form_url(paid)), amount="2", reason="new"))
    listed = boss.get(reverse("admin:payments_refund_changelist")).context["cl"].result_list
    assert [refund.reason for refund in listed] == ["old", "new"]
    yookassa.do("settle_refund", refund_id=listed[0].gateway_id)

    answer = boss.post(
        reverse("admin:payments_refund_changelist"),
        {"action": "ask_gateway", "_selected_action": [refund.pk for refund in listed]},
        follow=True,
    )

    assert messages(answer) == f"{listed[0]}: succeeded"
    assert not Refund.objects.exclude(status=RefundStatus.SUCCEEDED)


@pytest.fixture
def paid_in_stars(alice: User) -> Payment:
    """A payment in Stars of alice's, credited, that Telegram knows nothing of."""
    return PaymentFactory.create(
        user=alice,
        gateway=Payment.Gateway.STARS,
        method=Payment.Method.STARS,
        currency="XTR",
        amount=50,
        points=500,
        status=PaymentStatus.SUCCEEDED,
    )


def test_stars_are_given_back_in_full_only(boss: Client, alice: User, paid_in_stars: Payment) -> None:
    form = boss.get(form_url(paid_in_stars))
    assert form.context["form"]["amount"].value() == "50"
    assert "Stars can only be given back in full." in form.text

    answer = boss.post(form_url(paid_in_stars), filled(form, amount="20", reason="asked"))

    assert "A payment in Stars can only be given back in full." in answer.text
    assert (Refund.objects.count(), balance(alice)) == (0, 560)


def test_stars_that_telegram_does_not_give_back_leave_the_points(
    boss: Client, alice: User, paid_in_stars: Payment, alice_chat: Chat
) -> None:
    form = boss.get(form_url(paid_in_stars))

    answer = boss.post(form_url(paid_in_stars), filled(form, reason="asked"), follow=True)

    assert "Not given back: the gateway refused the refund of 50\N{NO-BREAK SPACE}⭐" in messages(answer)
    assert (Refund.objects.get().status, balance(alice)) == (RefundStatus.CANCELED, 560)


def test_only_what_was_paid_can_be_given_back(boss: Client, top_up: Callable[..., Payment]) -> None:
    payment = top_up()

    assert (
        reverse("admin:payments_payment_refund_this", args=[payment.pk])
        not in boss.get(page_url(payment)).text
    )
    forged = {"amount": "1", "reason": "x", "form_token": str(uuid.uuid4())}
    assert "can not be given back" in boss.post(form_url(payment), forged).text
    assert Refund.objects.count() == 0


@pytest.mark.postgres
def test_two_of_the_staff_at_once_never_give_back_more_than_was_paid(
    paid: Payment, alice: User, yookassa: YooKassaServer
) -> None:
    clerks = [browser(UserFactory.create(is_staff=True, is_superuser=True)) for _clerk in range(6)]
    forms = [filled(clerk.get(form_url(paid)), amount="40", reason="at once") for clerk in clerks]

    outcomes = at_once(
        *(partial(clerk.post, form_url(paid), form) for clerk, form in zip(clerks, forms, strict=True))
    )

    assert errors(outcomes) == []
    assert sorted(answer.status_code for answer in outcomes) == [200, 200, 200, 200, 302, 302]
    assert [refund.amount for refund in paid.refunds.all()] == [4_000, 4_000]
    assert len(yookassa.requests_seen(method="POST", path="/v3/refunds")) == 2
    assert refundable_amount(paid) == 2_000
    assert balance(alice) == 260
    assert [finding for finding in audit.findings() if finding.broken] == []


@pytest.mark.postgres
def test_one_form_sent_many_times_at_once_gives_back_once(
    paid: Payment, alice: User, yookassa: YooKassaServer
) -> None:
    root = UserFactory.create(is_staff=True, is_superuser=True)
    form = filled(browser(root).get(form_url(paid)), amount="40", reason="impatient")

    outcomes = at_once(*(partial(browser(root).post, form_url(paid), form) for _click in range(6)))

    assert errors(outcomes) == []
    assert {answer.status_code for answer in outcomes} == {302}
    assert paid.refunds.get().status == RefundStatus.SUCCEEDED
    assert len({seen["key"] for seen in yookassa.requests_seen(method="POST", path="/v3/refunds")}) == 1
    assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.PAYMENT_REFUND).count() == 1
    assert balance(alice) == 660
