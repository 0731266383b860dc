"""Points and money, a room for each: the ledger, what is paid, what is given."""

from payments.models.gifts import BonusNotice, PromoCode, WeeklyBonus, stored_form
from payments.models.ledger import LedgerEntry
from payments.models.money import (
    Discrepancy,
    Notification,
    Package,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
)

__all__ = [
    "BonusNotice",
    "Discrepancy",
    "LedgerEntry",
    "Notification",
    "Package",
    "Payment",
    "PaymentStatus",
    "PromoCode",
    "Refund",
    "RefundStatus",
    "WeeklyBonus",
    "stored_form",
]
