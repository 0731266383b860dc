"""The shop that the stand-in serves: who it is and what it may do. All of it can change while it runs.

Unlike YooKassa's own test shops it takes SBP as well, and can give every receipt and refund a bad end.
"""

from dataclasses import dataclass, field
from typing import Any

# Receipts from YooMoney go by e-mail only and demand a measure; registers of others do not.
OWN_PROVIDERS = ("yoo_receipt", "avanpost")
PROVIDERS = (
    *OWN_PROVIDERS, "atol", "a_qsi", "business_ru", "digital_kassa", "evotor", "first_ofd", "kit_invest",
    "komtet", "life_pay", "mertrade", "modul_kassa", "rocket", "shtrih_m",
)  # fmt: skip

# Largest payment of each method, in 1/100 RUB; what is not here the shop does not offer.
LIMITS = {"bank_card": 35_000_000, "sbp": 70_000_000, "yoo_money": 25_000_000}
SMALLEST = 100


@dataclass
class Shop:
    """`fiscalization` names the provider of receipts, or is empty."""

    shop_id: str = "sandbox"
    secret_key: str = "sandbox"  # noqa: S105 - the password of a stand-in
    test: bool = True
    enabled: bool = True
    fiscalization: str = ""
    currency: str = "RUB"
    methods: list[str] = field(default_factory=lambda: list(LIMITS))

    @property
    def wants_email(self) -> bool:
        """Whether a receipt needs an e-mail address and measures, and may have 80 items instead of 100."""
        return self.fiscalization in OWN_PROVIDERS

    def body(self) -> dict[str, Any]:
        """Return the Me object of the API."""
        body: dict[str, Any] = {
            "account_id": self.shop_id,
            "status": "enabled" if self.enabled else "disabled",
            "test": self.test,
            "fiscalization_enabled": bool(self.fiscalization),
            "payment_methods": self.methods,
            "itn": "7700000000",
        }
        if self.fiscalization:
            body["fiscalization"] = {"enabled": True, "provider": self.fiscalization}
        return body
