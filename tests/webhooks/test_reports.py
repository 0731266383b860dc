"""What operators see of webhooks in the metrics."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import EndpointFactory, WebhookDeliveryFactory


@pytest.mark.django_db
def test_the_metrics_count_what_waits_and_what_fails() -> None:
    now = timezone.now()
    failing = EndpointFactory.create(failing_since=now)
    EndpointFactory.create(failing_since=now, disabled_at=now, disabled_reason="failing")
    WebhookDeliveryFactory.create(endpoint=failing, next_attempt_at=now - timedelta(minutes=5))
    WebhookDeliveryFactory.create(endpoint=failing, next_attempt_at=now + timedelta(hours=1))
    WebhookDeliveryFactory.create(endpoint=failing, status="delivered", finished_at=now)

    lines = dict(line.rsplit(" ", 1) for line in Client().get("/metrics").text.splitlines())

    assert float(lines["qwenedit_open_webhooks"]) == 2
    assert float(lines["qwenedit_failing_webhook_endpoints"]) == 1
    assert 300 <= float(lines["qwenedit_oldest_due_webhook_seconds"]) < 3600
