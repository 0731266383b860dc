"""The view of promo codes."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from payments.promo import redeem_code
from qwenedit.api.base import owner
from qwenedit.api.rate_limits import RateLimitedView
from qwenedit.api.serializers_payments import RedeemedSerializer, RedemptionSerializer
from qwenedit.rate_limits import PROMO_CODES
from qwenedit.users.models import Scope


class RedeemView(RateLimitedView):
    """Promo codes."""

    write_scope = Scope.PAY
    rate_limit = PROMO_CODES
    problems: ClassVar[dict[str, tuple[int, ...]]] = {"post": (400, 409, 413, 415, 429, 503)}

    @extend_schema(
        summary="Redeem a promo code",
        operation_id="promocodes_redeem",
        request=RedemptionSerializer,
        responses={200: RedeemedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Redeem a promo code; answers with its points and the balance after them."""
        body = RedemptionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        entry = redeem_code(user=owner(request), code=body.validated_data["code"])
        return Response(RedeemedSerializer({"points": entry.amount, "balance": entry.balance_after}).data)
