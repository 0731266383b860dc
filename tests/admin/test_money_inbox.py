"""The inbox of the webhooks and what does not add up: read, processed again, and settled by a person."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from payments.models import Discrepancy, Payment, PaymentStatus
from qwenedit.users.models import User
from tests.admin.forms import filled, messages
from tests.factories import DiscrepancyFactory, NotificationFactory, PaymentFactory
from tests.servers import YooKassaServer

INBOX = "admin:payments_notification_changelist"
OPEN = "admin:payments_discrepancy_changelist"
Hire = Callable[..., Client]


def process(*rows: object) -> dict[str, object]:
    return {"action": "process_again", "_selected_action": [row.pk for row in rows]}  # type: ignore[attr-defined]


def test_a_notification_is_processed_again(
    boss: Client, top_up: Callable[..., Payment], yookassa: YooKassaServer, alice: User
) -> None:
    payment = top_up()
    yookassa.do("pay", payment_id=payment.gateway_id)
    waiting = NotificationFactory.create(object_id=payment.gateway_id)

    answer = boss.post(reverse(INBOX), process(waiting), follow=True)
    again = boss.post(reverse(INBOX), process(waiting), follow=True)

    waiting.refresh_from_db()
    alice.refresh_from_db()
    payment.refresh_from_db()
    assert (payment.status, alice.balance) == (PaymentStatus.SUCCEEDED, 1060)
    assert waiting.processed_at is not None
    assert waiting.tries == 2
    assert f"{waiting}: succeeded at the gateway, succeeded here" in messages(answer)
    assert messages(again) == messages(answer)
    assert LogEntry.objects.filter(object_id=str(waiting.pk)).count() == 2


def test_a_notification_that_the_gateway_can_not_confirm_stays_in_the_inbox(
    boss: Client, yookassa: YooKassaServer
) -> None:
    waiting = NotificationFactory.create()

    answer = boss.post(reverse(INBOX), process(waiting), follow=True)

    waiting.refresh_from_db()
    assert waiting.processed_at is None
    assert "tried again by itself" in messages(answer)


def test_rubbish_is_not_processed_again(boss: Client, yookassa: YooKassaServer) -> None:
    rubbish = NotificationFactory.create(event="", object_id="", outcome="not a notification")
    unknown = NotificationFactory.create(event="deal.closed", outcome="an event of no concern")

    answer = boss.post(reverse(INBOX), process(rubbish, unknown), follow=True)

    rubbish.refresh_from_db()
    unknown.refresh_from_db()
    assert (rubbish.tries, unknown.tries) == (0, 0)
    assert rubbish.outcome == "not a notification"
    assert "None of these" in messages(answer)
    assert yookassa.requests_seen() == []


def test_what_somebody_sent_is_shown_as_text(boss: Client) -> None:
    row = NotificationFactory.create(body="<script>alert(1)</script>")

    text = boss.get(reverse("admin:payments_notification_change", args=[row.pk])).text

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>alert(1)" not in text


def test_only_those_who_may_process_the_inbox(staff: Hire, yookassa: YooKassaServer) -> None:
    row = NotificationFactory.create()

    staff("view_notification", "change_payment").post(reverse(INBOX), process(row))

    row.refresh_from_db()
    assert row.tries == 0


def test_a_discrepancy_is_settled_with_a_note_and_goes_behind_the_open_ones(
    boss: Client, root: User, alice: User
) -> None:
    old, new = (DiscrepancyFactory.create(payment=PaymentFactory.create(user=alice)) for _row in range(2))
    button = reverse("admin:payments_discrepancy_resolve_this", args=[new.pk])
    assert button in boss.get(reverse("admin:payments_discrepancy_change", args=[new.pk])).text
    assert list(boss.get(reverse(OPEN)).context["cl"].result_list) == [new, old]

    question = boss.get(button)
    assert Discrepancy.objects.filter(resolved_at__isnull=True).count() == 2
    boss.post(button, filled(question, apply="1", reason="paid out by hand"))

    new.refresh_from_db()
    assert (new.resolved_by, new.resolution) == (root, "paid out by hand")
    assert list(boss.get(reverse(OPEN)).context["cl"].result_list) == [old, new]
    assert "paid out by hand" in LogEntry.objects.get(object_id=str(new.pk)).change_message
    assert button not in boss.get(reverse("admin:payments_discrepancy_change", args=[new.pk])).text


def test_what_was_settled_is_not_settled_again(boss: Client, root: User) -> None:
    row = DiscrepancyFactory.create()
    resolve = {"action": "resolve", "_selected_action": [row.pk], "apply": "1"}
    boss.post(reverse(OPEN), resolve | {"reason": "first"})

    answer = boss.post(reverse(OPEN), resolve | {"reason": "second"}, follow=True)

    row.refresh_from_db()
    assert row.resolution == "first"
    assert "0 discrepancies resolved." in messages(answer)


@pytest.mark.parametrize("note", ["", "   "])
def test_nothing_is_settled_without_a_note(note: str, boss: Client) -> None:
    row = DiscrepancyFactory.create()

    boss.post(
        reverse(OPEN), {"action": "resolve", "_selected_action": [row.pk], "apply": "1", "reason": note}
    )

    row.refresh_from_db()
    assert row.resolved_at is None


def test_open_discrepancies_are_on_the_first_page_for_those_who_may_see_them(
    boss: Client, staff: Hire
) -> None:
    told = "discrepancies of money wait"
    assert told not in boss.get(reverse("admin:index")).text
    DiscrepancyFactory.create()

    page = boss.get(reverse("admin:index"))

    assert told in page.text
    assert boss.get(page.context["discrepancies"]["url"]).context["cl"].result_count == 1
    assert told not in staff("view_user").get(reverse("admin:index")).text
