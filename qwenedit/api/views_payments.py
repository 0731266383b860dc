"""The views of top-ups."""

from __future__ import annotations

from typing import ClassVar

import structlog
from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from payments.models import Payment
from payments.return_addresses import return_url
from payments.services import start_payment
from qwenedit.api.base import owner
from qwenedit.api.rate_limits import RateLimitedView
from qwenedit.api.serializers_payments import (
    PaymentSerializer,
    StartedPaymentSerializer,
    TopUpSerializer,
)
from qwenedit.api.views import IDEMPOTENCY_KEY, idempotency_key
from qwenedit.rate_limits import PAYMENTS
from qwenedit.users.models import Scope


@extend_schema_view(
    list=extend_schema(summary="Your top-ups", description="Newest first, whatever their status."),
    retrieve=extend_schema(summary="One top-up"),
)
class PaymentViewSet(RateLimitedView, viewsets.ReadOnlyModelViewSet[Payment]):
    """Top-ups: start, follow. Only the owner's exist."""

    serializer_class = PaymentSerializer
    queryset = Payment.objects.none()
    write_scope = Scope.PAY
    rate_limit = PAYMENTS
    lookup_value_converter = "int"
    problems: ClassVar[dict[str, tuple[int, ...]]] = {
        "list": (400,),
        "create": (400, 409, 413, 415, 429, 502, 503),
    }

    def get_queryset(self) -> QuerySet[Payment]:
        """Return the user's own payments."""
        return Payment.objects.filter(user=owner(self.request))

    @extend_schema(
        summary="Start a top-up",
        request=TopUpSerializer,
        responses={201: StartedPaymentSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def create(self, request: Request) -> Response:
        """Start a top-up: send the buyer to `confirmation_url`. After 503 repeat it with the same key."""
        key = idempotency_key(request)
        body = TopUpSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        site = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
        payment = start_payment(
            user=owner(request),
            rubles=body.validated_data["amount"],
            method=body.validated_data["method"],
            email=body.validated_data.get("email", ""),
            idempotency_key=key,
            request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
            return_url=return_url(site),
        )
        answer = StartedPaymentSerializer(payment, context=self.get_serializer_context())
        return Response(answer.data, status=status.HTTP_201_CREATED)
