"""Telegram Stars: invoices, payments, refunds."""

from typing import Any

import pytest

from tests.sandbox.telegram.driving import PlainBot
from tests.sandbox.telegram.test_buttons import TOO_OLD, Doing
from tests.servers import TelegramServer

INVOICE: dict[str, Any] = {
    "title": "100 points",
    "description": "For edits",
    "payload": "payment:7",
    "currency": "XTR",
    "prices": [{"label": "100 points", "amount": 50}],
}


def paid(bot: PlainBot, alice: int, **given: Any) -> dict[str, Any]:
    """Let alice pay; return the successful_payment."""
    payment = Doing(bot.server.act, "pay", user_id=alice, **given)
    query = bot.updates(timeout=10)[-1]["pre_checkout_query"]
    bot.ok("answerPreCheckoutQuery", pre_checkout_query_id=query["id"], ok=True)
    assert payment.result()["ok"] is True
    found: dict[str, Any] = bot.updates(timeout=10)[-1]["message"]["successful_payment"]
    return found


def test_an_invoice_is_paid(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    sent = bot.ok("sendInvoice", chat_id=alice, provider_token="", **INVOICE)
    assert sent["invoice"] == {
        "title": "100 points", "description": "For edits", "start_parameter": "", "currency": "XTR",
        "total_amount": 50,
    }  # fmt: skip
    assert sent["reply_markup"]["inline_keyboard"][0][0]["pay"] is True
    payment = Doing(server.act, "tap", user_id=alice, label="Pay")
    query = bot.updates(timeout=10)[0]["pre_checkout_query"]
    assert (query["invoice_payload"], query["total_amount"], query["currency"]) == ("payment:7", 50, "XTR")
    bot.ok("answerPreCheckoutQuery", pre_checkout_query_id=query["id"], ok=True)
    charge = payment.result()["telegram_payment_charge_id"]
    told = bot.updates(timeout=10)[-1]["message"]["successful_payment"]
    assert told["telegram_payment_charge_id"] == charge
    assert (told["invoice_payload"], told["total_amount"], told["currency"]) == ("payment:7", 50, "XTR")
    *_, invoice, service = server.chat(alice)["messages"]
    assert invoice["invoice"] == {
        "title": "100 points", "description": "For edits", "stars": 50, "paid": True,
    }  # fmt: skip
    assert service["successful_payment"]["total_amount"] == 50
    assert server.act("pay", user_id=alice) == {"ok": False, "error": "the invoice has already been paid"}
    assert bot.ok("getMyStarBalance") == {"amount": 50}
    refusal = bot.refused("answerPreCheckoutQuery", pre_checkout_query_id=query["id"], ok=True)
    assert refusal == TOO_OLD


def test_an_invoice_is_paid_once_even_if_it_is_paid_twice_at_once(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    bot.ok("sendInvoice", chat_id=alice, **INVOICE)
    payments = [Doing(server.act, "pay", user_id=alice) for _ in range(2)]
    queries: list[str] = []
    while len(queries) < 2:
        queries += [update["pre_checkout_query"]["id"] for update in bot.updates(timeout=10)]
    for query in queries:
        bot.ok("answerPreCheckoutQuery", pre_checkout_query_id=query, ok=True)
    assert sorted(payment.result()["ok"] for payment in payments) == [False, True]
    assert bot.ok("getMyStarBalance") == {"amount": 50}


def test_the_bot_may_decline(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    bot.ok("sendInvoice", chat_id=alice, **INVOICE)
    payment = Doing(server.act, "pay", user_id=alice)
    query = bot.updates(timeout=10)[0]["pre_checkout_query"]["id"]
    assert bot.refused("answerPreCheckoutQuery", pre_checkout_query_id=query, ok=False)
    bot.ok("answerPreCheckoutQuery", pre_checkout_query_id=query, ok=False, error_message="Sold out")
    assert payment.result() == {"ok": False, "error": "Sold out"}
    assert bot.ok("getStarTransactions") == {"transactions": []}


def test_ten_seconds_without_an_answer_end_a_payment(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    bot.ok("sendInvoice", chat_id=alice, **INVOICE)
    answer = server.act("pay", user_id=alice)
    assert (answer["ok"], "in time" in answer["error"]) == (False, True)
    query = bot.updates()[0]["pre_checkout_query"]["id"]
    assert bot.refused("answerPreCheckoutQuery", pre_checkout_query_id=query, ok=True) == TOO_OLD


def test_a_charge_is_refunded_once(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    bot.ok("sendInvoice", chat_id=alice, **INVOICE)
    charge = paid(bot, alice)["telegram_payment_charge_id"]
    given = {"user_id": alice, "telegram_payment_charge_id": charge}
    unknown = given | {"telegram_payment_charge_id": "x"}
    assert bot.refused("refundStarPayment", **unknown) == "Bad Request: CHARGE_NOT_FOUND"
    stranger = {**given, "user_id": server.act("user")["id"]}
    assert bot.refused("refundStarPayment", **stranger) == "Bad Request: CHARGE_NOT_FOUND"
    assert bot.ok("refundStarPayment", **given) is True
    assert bot.refused("refundStarPayment", **given) == "Bad Request: CHARGE_ALREADY_REFUNDED"
    assert bot.updates()[-1]["message"]["refunded_payment"]["telegram_payment_charge_id"] == charge
    assert bot.ok("getMyStarBalance") == {"amount": 0}
    payment, refund = bot.ok("getStarTransactions")["transactions"]
    assert payment["id"] == refund["id"] == charge
    assert payment["source"]["invoice_payload"] == "payment:7"
    assert refund["receiver"]["user"]["id"] == alice
    assert bot.ok("getStarTransactions", offset=1, limit=1)["transactions"] == [refund]
    assert bot.refused("getStarTransactions", limit=101)


def test_a_link_may_be_paid_more_than_once_and_telegram_may_refund(
    bot: PlainBot, alice: int, server: TelegramServer
) -> None:
    link = bot.ok("createInvoiceLink", **INVOICE)
    charges = {paid(bot, alice, link=link)["telegram_payment_charge_id"] for _ in range(2)}
    assert len(charges) == 2
    charge = charges.pop()
    server.act("refund", telegram_payment_charge_id=charge)
    message = bot.updates()[-1]["message"]
    assert message["refunded_payment"]["telegram_payment_charge_id"] == charge
    assert len(server.state()["stars"]) == 3


def test_a_subscription(bot: PlainBot, alice: int) -> None:
    link = bot.ok("createInvoiceLink", **INVOICE, subscription_period=2_592_000)
    told = paid(bot, alice, link=link)
    assert (told["is_recurring"], told["is_first_recurring"]) == (True, True)
    given = {"user_id": alice, "telegram_payment_charge_id": told["telegram_payment_charge_id"]}
    assert bot.ok("editUserStarSubscription", **given, is_canceled=True) is True
    refusal = bot.refused("createInvoiceLink", **INVOICE, subscription_period=86_400)
    assert refusal == "Bad Request: SUBSCRIPTION_PERIOD_INVALID"


@pytest.mark.parametrize(
    "changes",
    [
        {"title": ""},
        {"title": "x" * 33},
        {"description": ""},
        {"description": "x" * 256},
        {"payload": ""},
        {"payload": "ж" * 65},
        {"currency": "RUB"},
        {"currency": ""},
        {"provider_token": "123:TEST:1"},
        {"prices": []},
        {"prices": INVOICE["prices"] * 2},
        {"prices": [{"label": "x", "amount": 0}]},
        {"prices": [{"label": "x", "amount": 1.5}]},
        {"prices": [{"label": "", "amount": 1}]},
        {"prices": [{"label": "x", "amount": 100_001}]},
        {"reply_markup": {"inline_keyboard": [[{"text": "No", "callback_data": "no"}]]}},
    ],
)
def test_an_invoice_that_cannot_be(bot: PlainBot, alice: int, changes: dict) -> None:
    refusal = bot.refused("sendInvoice", **{"chat_id": alice, **INVOICE, **changes})
    assert refusal.startswith("Bad Request: ")
