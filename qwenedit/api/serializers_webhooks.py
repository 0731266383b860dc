"""How webhooks and what was sent to them look over the API. Which addresses are sent to is known below."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from webhooks.models import Delivery, Endpoint, EventType

LONGEST_URL = 500
EVENTS = "What it hears of; none means everything."
ENABLED = "Whether anything is sent to it."


class EndpointFieldsSerializer(serializers.Serializer[Any]):
    """The body that makes or changes a webhook."""

    url = serializers.CharField(max_length=LONGEST_URL, help_text="An https address.")
    description = serializers.CharField(required=False, allow_blank=True, max_length=200)
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=EventType.choices),
        required=False,
        max_length=20,
        help_text=EVENTS,
    )
    enabled = serializers.BooleanField(required=False, help_text=ENABLED)


class EndpointSerializer(serializers.ModelSerializer[Endpoint]):
    """A webhook. Its secret is shown when it is made, and by an address of its own."""

    events = serializers.ListField(
        child=serializers.ChoiceField(choices=EventType.choices), read_only=True, help_text=EVENTS
    )
    enabled = serializers.BooleanField(read_only=True, help_text=ENABLED)
    disabled_reason = serializers.CharField(
        source="get_disabled_reason_display", read_only=True, help_text="Why nothing is sent, if so."
    )

    class Meta:
        model = Endpoint
        fields = [
            "id", "url", "description", "events", "enabled", "created_at", "failing_since", "disabled_at",
            "disabled_reason",
        ]  # fmt: skip
        read_only_fields = fields


class NewEndpointSerializer(EndpointSerializer):
    """A webhook that was just made, with its secret."""

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class SecretSerializer(serializers.Serializer[Any]):
    """What signatures are checked with. The one before signs too, until the moment named."""

    secret = serializers.CharField(help_text="`whsec_` and the key in base64.")
    previous_secret_until = serializers.DateTimeField(allow_null=True)


class AttemptSerializer(serializers.Serializer[Any]):
    """One sending: what was answered, or why nothing was."""

    at = serializers.DateTimeField()
    status_code = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    body = serializers.CharField(help_text="The beginning of the answer.")


class WebhookDeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One event that was sent, or will be, to one address."""

    webhook_id = serializers.SerializerMethodField(help_text="The header `webhook-id` of every attempt.")
    webhook: serializers.PrimaryKeyRelatedField[Endpoint] = serializers.PrimaryKeyRelatedField(
        source="endpoint",
        read_only=True,
        allow_null=True,
        help_text="Null for the `webhook_url` of an edit.",
    )
    url = serializers.CharField(source="target", read_only=True)
    payload = serializers.SerializerMethodField()
    next_attempt_at = serializers.SerializerMethodField(help_text="Null once it has ended.")
    attempts = serializers.SerializerMethodField(help_text="Oldest first.")

    class Meta:
        model = Delivery
        fields = [
            "id", "webhook_id", "webhook", "url", "event", "status", "failure", "next_attempt_at",
            "created_at", "finished_at", "payload", "attempts",
        ]  # fmt: skip
        read_only_fields = fields

    def get_webhook_id(self, delivery: Delivery) -> str:
        """Return the header's value."""
        return delivery.message_id

    def get_payload(self, delivery: Delivery) -> dict[str, Any]:
        """Return what is sent."""
        body: dict[str, Any] = json.loads(delivery.payload)
        return body

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        """Return when it is tried next."""
        moment = None if delivery.finished_at else delivery.next_attempt_at
        return serializers.DateTimeField().to_representation(moment) if moment else None

    @extend_schema_field(AttemptSerializer(many=True))
    def get_attempts(self, delivery: Delivery) -> list[dict[str, Any]]:
        """Return the log."""
        log: list[dict[str, Any]] = delivery.attempts
        return log
