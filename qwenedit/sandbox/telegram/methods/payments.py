"""Telegram Stars: invoices, the answer before the payment, refunds, the list of transactions."""

import secrets
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.entities import utf16_length
from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.methods.common import (
    Method,
    find_writable_chat,
    post,
    read_along,
)
from qwenedit.sandbox.telegram.parameters import Parameters
from qwenedit.sandbox.telegram.records import Charge, without_empty
from qwenedit.sandbox.telegram.stars import refund

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

CURRENCY = "XTR"
LONGEST_TITLE = 32
LONGEST_DESCRIPTION = 255
LONGEST_PAYLOAD = 128
MOST_STARS = 100_000
SUBSCRIPTION_SECONDS = 2_592_000
MOST_SUBSCRIPTION_STARS = 10_000
MOST_TRANSACTIONS = 100
PAY_BUTTON = "Pay ⭐️{}"


async def send_invoice(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Send an invoice, with a button that pays."""
    chat = find_writable_chat(sandbox, given)
    invoice = _read_invoice(given)
    along = read_along(sandbox, given, chat, is_invoice=True)
    content: dict[str, Any] = {
        "invoice": {
            "title": invoice["title"],
            "description": invoice["description"],
            "start_parameter": given.text("start_parameter"),
            "currency": CURRENCY,
            "total_amount": invoice["stars"],
        }
    }
    if along.markup is None:
        label = PAY_BUTTON.format(invoice["stars"])
        content["reply_markup"] = {"inline_keyboard": [[{"text": label, "pay": True}]]}
    elif not along.markup.get("inline_keyboard", [[{}]])[0][0].get("pay"):
        raise bad_request("the first button must be a Pay button")
    return post(sandbox, chat, content, along, kind="invoice", invoice=invoice).body


async def create_invoice_link(sandbox: "Sandbox", given: Parameters) -> str:
    """Make a link to an invoice, that anybody may pay, and more than once."""
    invoice = _read_invoice(given)
    period = given.integer("subscription_period")
    if period:
        if period != SUBSCRIPTION_SECONDS:
            raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
        if invoice["stars"] > MOST_SUBSCRIPTION_STARS:
            raise bad_request("STARS_AMOUNT_INVALID")
        invoice["subscription_period"] = period
    slug = secrets.token_urlsafe(12)
    sandbox.store.set(f"link:{slug}", invoice)
    return f"https://t.me/${slug}"


async def answer_pre_checkout_query(sandbox: "Sandbox", given: Parameters) -> bool:
    """Allow a payment, or say why not."""
    is_ok = given.flag("ok")
    error = given.text("error_message")
    if not is_ok and not error:
        raise bad_request("error message must be non-empty")
    sandbox.checkouts.answer(given.text("pre_checkout_query_id"), {"ok": is_ok, "error": error})
    return True


async def refund_star_payment(sandbox: "Sandbox", given: Parameters) -> bool:
    """Give the Stars of one charge back, all of them, once."""
    charge = sandbox.store.charges.get(given.text("telegram_payment_charge_id"))
    person = sandbox.chats.person(given.integer("user_id"))
    if person is None:
        raise bad_request("USER_ID_INVALID")
    if charge is None or charge.user_id != person.id:
        raise bad_request("CHARGE_NOT_FOUND")
    if charge.refunded_at is not None:
        raise bad_request("CHARGE_ALREADY_REFUNDED")
    refund(sandbox, charge)
    return True


async def edit_user_star_subscription(sandbox: "Sandbox", given: Parameters) -> bool:
    """Cancel a subscription, or let it go on."""
    charge = sandbox.store.charges.get(given.text("telegram_payment_charge_id"))
    if charge is None or charge.subscription_until is None or charge.user_id != given.integer("user_id"):
        raise bad_request("CHARGE_NOT_FOUND")
    charge.is_canceled = given.flag("is_canceled")
    sandbox.store.charges.save(charge)
    return True


async def get_star_transactions(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """List payments and refunds, oldest first."""
    offset, limit = given.integer("offset"), given.integer("limit", MOST_TRANSACTIONS)
    if offset < 0:
        raise bad_request("offset must be non-negative")
    if not 1 <= limit <= MOST_TRANSACTIONS:
        raise bad_request("limit must be between 1 and 100")
    return {"transactions": transactions(sandbox)[offset : offset + limit]}


async def get_my_star_balance(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Say how many Stars the bot has earned and not given back."""
    charges = sandbox.store.charges.rows.values()
    return {"amount": sum(charge.stars for charge in charges if charge.refunded_at is None)}


def transactions(sandbox: "Sandbox") -> list[dict[str, Any]]:
    """Return the StarTransaction objects, oldest first."""
    found = []
    for charge in sandbox.store.charges.rows.values():
        found.append(_transaction(sandbox, charge, charge.date, "source"))
        if charge.refunded_at is not None:
            found.append(_transaction(sandbox, charge, charge.refunded_at, "receiver"))
    return sorted(found, key=lambda item: item["date"])


def _transaction(sandbox: "Sandbox", charge: Charge, date: int, side: str) -> dict[str, Any]:
    person = sandbox.chats.person(charge.user_id)
    partner = {
        "type": "user",
        "transaction_type": "invoice_payment",
        "user": person.user() if person else {"id": charge.user_id, "is_bot": False, "first_name": ""},
        "invoice_payload": charge.payload,
    }
    return {"id": charge.key, "amount": charge.stars, "date": date, side: partner}


def _read_invoice(given: Parameters) -> dict[str, Any]:
    title, description, payload = (given.text(name) for name in ("title", "description", "payload"))
    if not title.strip():
        raise bad_request("title must be non-empty")
    if utf16_length(title) > LONGEST_TITLE:
        raise bad_request("INVOICE_TITLE_TOO_LONG")
    if not description.strip():
        raise bad_request("description must be non-empty")
    if utf16_length(description) > LONGEST_DESCRIPTION:
        raise bad_request("INVOICE_DESCRIPTION_TOO_LONG")
    if not 1 <= len(payload.encode()) <= LONGEST_PAYLOAD:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    currency = given.text("currency")
    if currency != CURRENCY:
        raise bad_request(
            "PAYMENT_PROVIDER_INVALID" if len(currency) == len(CURRENCY) else "CURRENCY_INVALID"
        )
    if given.text("provider_token"):
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    return without_empty(
        {
            "title": title,
            "description": description,
            "payload": payload,
            "stars": _read_price(given),
            "photo_url": given.text("photo_url"),
            "paid": False,
        }
    )


def _read_price(given: Parameters) -> int:
    prices = given.json("prices", "prices")
    if not isinstance(prices, list):
        raise bad_request("expected an Array of LabeledPrice")
    if len(prices) != 1:
        raise bad_request("INVOICE_PRICES_INVALID" if prices else "there must be at least one price")
    price = prices[0]
    if not isinstance(price, dict) or not str(price.get("label") or "").strip():
        raise bad_request("can't parse LabeledPrice: Can't find field \"label\"")
    amount = price.get("amount")
    if isinstance(amount, str) and amount.isdecimal():
        amount = int(amount)
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise bad_request('can\'t parse LabeledPrice: Field "amount" must be a Number')
    if not 1 <= amount <= MOST_STARS:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID" if amount > 0 else "STARS_INVOICE_INVALID")
    return amount


METHODS: dict[str, Method] = {
    "sendInvoice": send_invoice,
    "createInvoiceLink": create_invoice_link,
    "answerPreCheckoutQuery": answer_pre_checkout_query,
    "refundStarPayment": refund_star_payment,
    "editUserStarSubscription": edit_user_star_subscription,
    "getStarTransactions": get_star_transactions,
    "getMyStarBalance": get_my_star_balance,
}
