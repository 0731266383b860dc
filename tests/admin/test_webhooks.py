"""Webhooks in the admin: disabled for a reason, sent again, and never their secrets."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from tests.factories import EndpointFactory, WebhookDeliveryFactory
from webhooks.models import Delivery

ENDPOINTS, DELIVERIES = "admin:webhooks_endpoint_changelist", "admin:webhooks_delivery_changelist"


@pytest.mark.django_db
def test_an_endpoint_is_disabled_for_a_reason(boss: Client) -> None:
    endpoint = EndpointFactory.create()
    waiting = WebhookDeliveryFactory.create(endpoint=endpoint)
    form = {"action": "disable", "_selected_action": [endpoint.pk]}

    assert "Disable these webhooks?" in boss.post(reverse(ENDPOINTS), form).text
    answer = boss.post(
        reverse(ENDPOINTS), form | {"apply": "1", "reason": "it attacks somebody"}, follow=True
    )

    assert "1 webhook disabled." in answer.text
    endpoint.refresh_from_db()
    waiting.refresh_from_db()
    assert (endpoint.disabled_reason, waiting.status) == ("staff", "cancelled")
    assert "it attacks somebody" in LogEntry.objects.get().change_message


@pytest.mark.django_db
def test_what_has_ended_is_sent_again_and_what_has_not_is_left_alone(boss: Client) -> None:
    rows = [
        WebhookDeliveryFactory.create(status="failed", failure="x", finished_at="2026-11-26T00:00Z"),
        WebhookDeliveryFactory.create(),
        WebhookDeliveryFactory.create(
            status="failed",
            failure="x",
            finished_at="2026-11-26T00:00Z",
            endpoint=EndpointFactory.create(disabled_at="2026-11-26T00:00Z", disabled_reason="gone"),
        ),
    ]
    form = {"action": "redeliver", "_selected_action": [row.pk for row in rows]}
    assert "1 delivery waits again." in boss.post(reverse(DELIVERIES), form, follow=True).text
    assert list(Delivery.objects.order_by("id").values_list("status", flat=True)) == [
        "pending",
        "pending",
        "failed",
    ]


@pytest.mark.django_db
def test_no_page_shows_a_secret(boss: Client) -> None:
    delivery = WebhookDeliveryFactory.create()
    endpoint = delivery.endpoint
    assert endpoint
    for page in (
        reverse(ENDPOINTS),
        reverse("admin:webhooks_endpoint_change", args=[endpoint.pk]),
        reverse("admin:webhooks_delivery_change", args=[delivery.pk]),
    ):
        answer = boss.get(page)
        assert answer.status_code == 200
        assert endpoint.secret not in answer.text


@pytest.mark.django_db
def test_a_delivery_is_found_by_what_its_receiver_knows_it_by(boss: Client) -> None:
    delivery, other = WebhookDeliveryFactory.create(), WebhookDeliveryFactory.create()
    for term in (delivery.message_id, str(delivery.endpoint_id)):
        rows = boss.get(reverse(DELIVERIES), {"q": term}).context["cl"].queryset
        assert delivery in rows
    assert other not in boss.get(reverse(DELIVERIES), {"q": delivery.message_id}).context["cl"].queryset
    of_one = boss.get(reverse(DELIVERIES), {"endpoint__id__exact": delivery.endpoint_id})
    assert list(of_one.context["cl"].queryset) == [delivery]


@pytest.mark.django_db
def test_those_who_may_only_look_have_no_such_actions(staff: Callable[..., Client]) -> None:
    endpoint = EndpointFactory.create()
    viewer = staff("view_endpoint")
    form = {"action": "disable", "_selected_action": [endpoint.pk], "apply": "1", "reason": "x"}
    viewer.post(reverse(ENDPOINTS), form)
    endpoint.refresh_from_db()
    assert endpoint.enabled
