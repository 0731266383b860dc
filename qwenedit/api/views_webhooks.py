"""The views of webhooks, their secrets and their deliveries."""

from __future__ import annotations

from typing import ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from qwenedit.api.base import ApiView, owner
from qwenedit.api.serializers_webhooks import (
    EndpointFieldsSerializer,
    EndpointSerializer,
    NewEndpointSerializer,
    SecretSerializer,
    WebhookDeliverySerializer,
)
from qwenedit.users.models import Scope
from webhooks import outbox, services
from webhooks.models import Delivery, Endpoint


@extend_schema_view(
    list=extend_schema(summary="Your webhooks", description="Newest first."),
    retrieve=extend_schema(summary="One webhook"),
    destroy=extend_schema(summary="Delete a webhook", description="What it was sent goes with it."),
)
class EndpointViewSet(ApiView, mixins.DestroyModelMixin, viewsets.ReadOnlyModelViewSet[Endpoint]):
    """Webhooks: where the ends of edits are told. Only the owner's exist."""

    serializer_class = EndpointSerializer
    queryset = Endpoint.objects.none()
    write_scope = Scope.EDIT
    read_scope = Scope.READ
    lookup_value_converter = "int"
    problems: ClassVar[dict[str, tuple[int, ...]]] = {
        "list": (400,),
        "create": (400, 409, 413, 415),
        "partial_update": (400, 413, 415),
        "test": (409,),
    }

    def get_queryset(self) -> QuerySet[Endpoint]:
        """Return the user's own webhooks."""
        return Endpoint.objects.filter(user=owner(self.request))

    @extend_schema(
        summary="Make a webhook", request=EndpointFieldsSerializer, responses={201: NewEndpointSerializer}
    )
    def create(self, request: Request) -> Response:
        """Make a webhook; the answer holds its secret."""
        body = EndpointFieldsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        endpoint = services.create_endpoint(user=owner(request), **body.validated_data)
        return Response(NewEndpointSerializer(endpoint).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Change a webhook", request=EndpointFieldsSerializer, responses={200: EndpointSerializer}
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Change a webhook. `enabled: true` makes a new beginning after it was disabled."""
        endpoint = self.get_object()
        body = EndpointFieldsSerializer(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        changed = services.change_endpoint(endpoint=endpoint, **body.validated_data)
        return Response(EndpointSerializer(changed).data)

    @extend_schema(summary="Send a test event", request=None, responses={202: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: int) -> Response:
        """Send `webhook.test`, to see whether it arrives; follow it under `deliveries/`."""
        delivery = services.send_test(endpoint=self.get_object())
        return Response(WebhookDeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="The secret of a webhook",
        operation_id="webhooks_secret_retrieve",
        responses={200: SecretSerializer},
    )
    @action(detail=True, read_scope=Scope.EDIT)
    def secret(self, request: Request, pk: int) -> Response:
        """Show what signatures are checked with. Needs the scope `edit`."""
        return Response(SecretSerializer(self.get_object()).data)

    @extend_schema(
        summary="A new secret for a webhook",
        operation_id="webhooks_rotate_secret",
        request=None,
        responses={200: SecretSerializer},
    )
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: int) -> Response:
        """Make a new secret. For 24 hours everything is signed with the old one as well."""
        endpoint = self.get_object()
        services.rotate_secret(endpoint)
        return Response(SecretSerializer(endpoint).data)

    @extend_schema(
        summary="The secret of your edits' own addresses",
        operation_id="webhooks_job_secret_retrieve",
        responses={200: SecretSerializer},
    )
    @action(detail=False, url_path="secret", read_scope=Scope.EDIT)
    def job_secret(self, request: Request) -> Response:
        """Show what signs deliveries to the `webhook_url` of edits. Needs the scope `edit`."""
        return Response(SecretSerializer(services.job_url_secret(user=owner(request))).data)

    @extend_schema(
        summary="A new secret for your edits' own addresses",
        operation_id="webhooks_rotate_job_secret",
        request=None,
        responses={200: SecretSerializer},
    )
    @action(detail=False, methods=["post"], url_path="rotate-secret")
    def rotate_job_secret(self, request: Request) -> Response:
        """Make a new secret. For 24 hours everything is signed with the old one as well."""
        row = services.job_url_secret(user=owner(request))
        services.rotate_secret(row)
        return Response(SecretSerializer(row).data)


@extend_schema_view(
    list=extend_schema(
        summary="Everything sent to you",
        description="Newest first: to webhooks, and to the `webhook_url` of edits. Kept for 30 days.",
        operation_id="deliveries_list",
    ),
    retrieve=extend_schema(summary="One delivery", operation_id="deliveries_retrieve"),
    redeliver=extend_schema(
        summary="Send a delivery once more",
        operation_id="deliveries_redeliver",
        request=None,
        responses={202: WebhookDeliverySerializer},
    ),
)
class DeliveryViewSet(ApiView, viewsets.ReadOnlyModelViewSet[Delivery]):
    """Deliveries and their log. Only the owner's exist."""

    serializer_class = WebhookDeliverySerializer
    queryset = Delivery.objects.none()
    write_scope = Scope.EDIT
    lookup_value_converter = "int"
    problems: ClassVar[dict[str, tuple[int, ...]]] = {"list": (400,), "redeliver": (409,)}

    def get_queryset(self) -> QuerySet[Delivery]:
        """Return what is sent to the user."""
        return Delivery.objects.filter(user=owner(self.request)).select_related("endpoint")

    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, pk: int, **_webhook: int) -> Response:
        """Send a delivery that has ended again, with the same `webhook-id` and payload."""
        outbox.redeliver(self.get_object())
        return Response(WebhookDeliverySerializer(self.get_object()).data, status=status.HTTP_202_ACCEPTED)


@extend_schema_view(
    list=extend_schema(
        summary="What was sent to a webhook",
        description="Newest first. Kept for 30 days.",
        operation_id="webhook_deliveries_list",
    ),
    retrieve=extend_schema(summary="One delivery to a webhook", operation_id="webhook_deliveries_retrieve"),
    redeliver=extend_schema(
        summary="Send a delivery to a webhook once more",
        operation_id="webhook_deliveries_redeliver",
        request=None,
        responses={202: WebhookDeliverySerializer},
    ),
)
class WebhookDeliveryViewSet(DeliveryViewSet):
    """Deliveries to one webhook."""

    def get_queryset(self) -> QuerySet[Delivery]:
        """Return what is sent to the webhook. Raises Http404 where it is not the user's."""
        deliveries = super().get_queryset()
        if "webhook_id" not in self.kwargs:  # the schema's generator looks without a request
            return deliveries
        webhooks = Endpoint.objects.filter(user=owner(self.request))
        return deliveries.filter(endpoint=get_object_or_404(webhooks, pk=self.kwargs["webhook_id"]))
