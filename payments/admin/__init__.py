"""Points and money in the admin. Django imports this package to find them."""

from payments.admin import discrepancies, ledger, notifications, packages, payments, promo, refunds, users

__all__ = ["discrepancies", "ledger", "notifications", "packages", "payments", "promo", "refunds", "users"]
