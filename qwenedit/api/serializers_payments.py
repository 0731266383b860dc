"""How payments and promo codes look over the API. What may be paid is known to the services."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from payments.models import Payment, PaymentStatus
from payments.services import KOPEKS

LONGEST_CODE = 40


class TopUpSerializer(serializers.Serializer[Any]):
    """The body of a top-up."""

    amount = serializers.IntegerField(help_text="Whole rubles, within the limits of this installation.")
    method = serializers.ChoiceField(choices=[("card", "Bank card"), ("sbp", "SBP")])
    email = serializers.EmailField(
        required=False, allow_blank=True, max_length=254, help_text="Where the receipt goes."
    )


class PaymentSerializer(serializers.ModelSerializer[Payment]):
    """A top-up, as its owner sees it."""

    amount = serializers.SerializerMethodField(help_text="Rubles.")
    points = serializers.IntegerField(read_only=True, help_text="What is credited once it is paid.")
    confirmation_url = serializers.CharField(read_only=True, help_text="Where one pays.")
    error = serializers.CharField(source="failure", read_only=True, help_text="Why it failed, if it did.")

    class Meta:
        model = Payment
        fields = [
            "id", "status", "amount", "points", "method", "confirmation_url", "error", "created_at",
            "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_amount(self, payment: Payment) -> int:
        """Return the rubles; Stars are not rubles, and are counted as they are."""
        return payment.amount // KOPEKS if payment.currency == "RUB" else payment.amount


class StartedPaymentSerializer(PaymentSerializer):
    """The answer to a top-up: the payment as it was started. A replay is given the first answer."""

    status = serializers.SerializerMethodField()

    class Meta(PaymentSerializer.Meta):
        fields = ["id", "status", "amount", "points", "confirmation_url"]
        read_only_fields = fields

    def get_status(self, payment: Payment) -> str:
        """Return what the status was."""
        return str(PaymentStatus.PENDING)


class RedemptionSerializer(serializers.Serializer[Any]):
    """The body of a redemption."""

    code = serializers.CharField(max_length=LONGEST_CODE, help_text="Case does not matter.")


class RedeemedSerializer(serializers.Serializer[Any]):
    """What a promo code has brought."""

    points = serializers.IntegerField()
    balance = serializers.IntegerField()
