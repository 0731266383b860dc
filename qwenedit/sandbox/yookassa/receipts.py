"""Receipts of 54-FZ: is one due, and is it right?

Owns: the rules of the `receipt` object. That of a shop without fiscalization is not looked at.
Everything here raises `errors.Refusal` with status 400.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from qwenedit.sandbox.yookassa.errors import invalid
from qwenedit.sandbox.yookassa.shop import Shop

MISSING = "Receipt is missing or illegal"
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")
EMAIL_LENGTH = 254
PHONE = re.compile(r"\+?\d{4,15}", re.ASCII)
PRICE = re.compile(r"\d{1,10}\.\d{2}", re.ASCII)
VAT_CODES = range(1, 13)
TAX_SYSTEMS = range(1, 7)
DESCRIPTION_LENGTH = 128
LARGEST_QUANTITY = Decimal("99999.999")
MEASURES = (
    "piece", "gram", "kilogram", "ton", "centimeter", "decimeter", "meter", "square_centimeter",
    "square_decimeter", "square_meter", "milliliter", "liter", "cubic_meter", "kilowatt_hour", "gigacalorie",
    "day", "hour", "minute", "second", "kilobyte", "megabyte", "gigabyte", "terabyte", "another",
)  # fmt: skip
PAYMENT_SUBJECTS = (
    "commodity", "excise", "job", "service", "gambling_bet", "gambling_prize", "lottery", "lottery_prize",
    "intellectual_activity", "payment", "agent_commission", "property_right", "non_operating_gain",
    "insurance_premium", "sales_tax", "resort_fee", "composite", "another", "fine", "tax", "lien", "cost",
    "pension_insurance_without_payouts", "pension_insurance_with_payouts", "health_insurance_without_payouts",
    "health_insurance_with_payouts", "health_insurance", "casino", "agent_withdrawals", "non_marked_excise",
    "marked_excise", "marked", "non_marked",
)  # fmt: skip
PAYMENT_MODES = (
    "full_prepayment", "partial_prepayment", "advance", "full_payment", "partial_payment", "credit",
    "credit_payment",
)  # fmt: skip


def check_receipt(receipt: Mapping[str, Any] | None, total: int, currency: str, shop: Shop) -> None:
    """Check the receipt for `total`, in 1/100 of `currency`."""
    if not shop.fiscalization:
        return
    if receipt is None:
        raise invalid("receipt", MISSING)
    _check_customer(receipt.get("customer"), shop)
    tax_system = receipt.get("tax_system_code")
    if tax_system is not None and tax_system not in TAX_SYSTEMS:
        raise invalid("receipt.tax_system_code")
    items = receipt.get("items")
    most = 80 if shop.wants_email else 100
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        raise invalid("receipt.items", MISSING)
    if sum(_price_of(item, currency, shop) for item in items) != total:
        raise invalid("receipt", "Receipt amount doesn't match the payment amount")


def _check_customer(customer: object, shop: Shop) -> None:
    if not isinstance(customer, dict):
        raise invalid("receipt.customer", MISSING)
    email, phone = customer.get("email"), customer.get("phone")
    if email is not None and not (
        isinstance(email, str) and len(email) <= EMAIL_LENGTH and EMAIL.fullmatch(email)
    ):
        raise invalid("receipt.customer.email")
    if phone is not None and not (isinstance(phone, str) and PHONE.fullmatch(phone)):
        raise invalid("receipt.customer.phone")
    if email is None and (phone is None or shop.wants_email):
        raise invalid("receipt.customer.email", MISSING)


def _price_of(item: object, currency: str, shop: Shop) -> int:
    """Return what an item costs in all, in 1/100 of the currency."""
    if not isinstance(item, dict):
        raise invalid("receipt.items", MISSING)
    description = item.get("description")
    if not isinstance(description, str) or not 1 <= len(description) <= DESCRIPTION_LENGTH:
        raise invalid("receipt.items.description")
    vat_code = item.get("vat_code")
    if isinstance(vat_code, bool) or vat_code not in VAT_CODES:
        raise invalid("receipt.items.vat_code")
    _check_choice(item, "measure", MEASURES, required=shop.wants_email)
    _check_choice(item, "payment_subject", PAYMENT_SUBJECTS, required=shop.wants_email)
    _check_choice(item, "payment_mode", PAYMENT_MODES, required=shop.wants_email)
    price = item.get("amount")
    if not isinstance(price, dict) or price.get("currency") != currency:
        raise invalid("receipt.items.amount")
    value = price.get("value")
    if not isinstance(value, str) or not PRICE.fullmatch(value):
        raise invalid("receipt.items.amount.value")
    cost = Decimal(value) * 100 * _quantity_of(item)
    return int(cost.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _quantity_of(item: Mapping[str, Any]) -> Decimal:
    quantity = item.get("quantity")
    # The specification says number; the official SDK sends text, and is understood.
    if isinstance(quantity, bool) or not isinstance(quantity, int | float | str):
        raise invalid("receipt.items.quantity")
    try:
        number = Decimal(str(quantity))
    except InvalidOperation:
        raise invalid("receipt.items.quantity") from None
    if not number.is_finite() or not 0 < number <= LARGEST_QUANTITY or number != round(number, 3):
        raise invalid("receipt.items.quantity")
    return number


def _check_choice(item: Mapping[str, Any], name: str, known: tuple[str, ...], *, required: bool) -> None:
    value = item.get(name)
    if (value is None and required) or (value is not None and value not in known):
        raise invalid(f"receipt.items.{name}")
