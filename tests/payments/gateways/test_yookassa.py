"""What the gateway asks of YooKassa and what it makes of the answers, over real HTTP."""

import base64
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import override_settings

from payments.gateways.base import NotFoundAtGateway, Receipt, RemoteStatus
from payments.gateways.registry import gateway_for, yookassa_shop_id
from payments.gateways.yookassa import API_URL, YooKassaGateway
from payments.gateways.yookassa_answers import Shop
from qwenedit.settings import BASE_DIR
from tests.comfy.scripted import Reply, Request
from tests.payments.gateways.objects import (
    KEY,
    PAYMENT,
    PAYMENT_ID,
    REFUND,
    REFUND_ID,
    SECRET_KEY,
    SHOP_ID,
    ScriptedYooKassa,
    changed,
    sent,
)

RECEIPT = Receipt(
    email="user@example.com", item="Баллы", vat_code=1, payment_subject="service", payment_mode="full_payment"
)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def payment_body(gateway: YooKassaGateway, **changes: Any) -> dict[str, Any]:
    return gateway.start_body(
        **{
            "amount": 29_900,
            "method": "card",
            "description": "Пополнение баланса, заказ 1042",
            "return_url": "https://example.com/back/",
            "metadata": {"payment_id": "1042"},
            "receipt": None,
            **changes,
        }
    )


def refund_body(gateway: YooKassaGateway, **changes: Any) -> dict[str, Any]:
    return gateway.refund_body(
        **{
            "payment_id": PAYMENT_ID,
            "amount": 10_000,
            "description": "Возврат",
            "metadata": {"refund_id": "9"},
            "receipt": None,
            **changes,
        }
    )


def test_a_payment_is_started_and_told_where_to_be_paid(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    api.answer("POST", "/payments", Reply(200, PAYMENT))

    payment = gateway.start(body=payment_body(gateway), key=KEY)

    assert (payment.id, payment.status) == (PAYMENT_ID, RemoteStatus.PENDING)
    assert (payment.amount, payment.currency, payment.refunded) == (29_900, "RUB", 0)
    assert (payment.shop_id, payment.is_test, payment.method) == (SHOP_ID, False, "card")
    assert payment.confirmation_url.startswith("https://yoomoney.ru/")
    assert payment.created_at == datetime(2026, 11, 20, 10, 0, 0, 123_000, tzinfo=UTC)
    assert payment.metadata["payment_id"] == "1042"
    assert payment.raw == PAYMENT


def test_what_is_sent_is_what_was_frozen(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    api.answer("POST", "/payments", Reply(200, PAYMENT))
    body = payment_body(gateway, receipt=RECEIPT)
    before = json.dumps(body)

    gateway.start(body=body, key=KEY)

    (request,) = api.requests
    assert request.json == body == json.loads(before)
    assert json.dumps(body) == before
    assert body == {
        "amount": {"value": "299.00", "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": "https://example.com/back/"},
        "description": "Пополнение баланса, заказ 1042",
        "metadata": {"payment_id": "1042"},
        "payment_method_data": {"type": "bank_card"},
        "receipt": {
            "customer": {"email": "user@example.com"},
            "items": [
                {
                    "description": "Баллы",
                    "quantity": 1,
                    "amount": {"value": "299.00", "currency": "RUB"},
                    "vat_code": 1,
                    "measure": "piece",
                    "payment_subject": "service",
                    "payment_mode": "full_payment",
                }
            ],
        },
    }
    assert request.headers["Idempotence-Key"] == KEY
    assert request.headers["Content-type"] == "application/json"
    credentials = base64.b64encode(f"{SHOP_ID}:{SECRET_KEY}".encode()).decode()
    assert request.headers["Authorization"] == f"Basic {credentials}"
    assert "YooKassa.Python/" in request.headers["YM-User-Agent"]


def test_a_body_that_a_database_gave_back_in_another_order_is_sent_in_the_same_bytes(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    api.answer("POST", "/payments", Reply(200, PAYMENT))
    body = payment_body(gateway, receipt=RECEIPT)

    def reordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reordered(value[name]) for name in sorted(value, key=lambda n: (len(n), n))}
        return [reordered(item) for item in value] if isinstance(value, list) else value

    assert list(reordered(body)) != list(body)
    gateway.start(body=body, key=KEY)
    gateway.start(body=reordered(body), key=KEY)

    first, second = api.requests
    assert first.body == second.body
    assert first.headers["Idempotence-Key"] == second.headers["Idempotence-Key"]
    assert "Пополнение" in first.body.decode()


@pytest.mark.parametrize(
    ("kopeks", "text"),
    [
        (1, "0.01"),
        (10, "0.10"),
        (99, "0.99"),
        (100, "1.00"),
        (1999, "19.99"),
        (102_959, "1029.59"),
        (35_000_000, "350000.00"),
        (9_999_999_999_999, "99999999999.99"),
        (9_007_199_254_740_993, "90071992547409.93"),
    ],
)
def test_amounts_pass_both_ways_to_the_last_kopek(
    api: ScriptedYooKassa, gateway: YooKassaGateway, kopeks: int, text: str
) -> None:
    api.answer("POST", "/payments", lambda request: Reply(200, PAYMENT | {"amount": request.json["amount"]}))

    payment = gateway.start(body=payment_body(gateway, amount=kopeks), key=KEY)

    assert sent(api)[0]["amount"] == {"value": text, "currency": "RUB"}
    assert payment.amount == kopeks


def test_a_payment_by_sbp_asks_for_sbp(gateway: YooKassaGateway) -> None:
    assert payment_body(gateway, method="sbp")["payment_method_data"] == {"type": "sbp"}


def test_a_receipt_names_the_tax_system_if_there_is_one(gateway: YooKassaGateway) -> None:
    taxed = Receipt("a@example.com", "Баллы", 11, "service", "full_payment", tax_system_code=2)

    body = refund_body(gateway, amount=1999, receipt=taxed)

    assert body["receipt"]["tax_system_code"] == 2
    assert body["receipt"]["items"][0]["amount"]["value"] == body["amount"]["value"] == "19.99"


def test_texts_that_are_too_long_are_cut(gateway: YooKassaGateway) -> None:
    long = "я" * 300
    wordy = Receipt("a@example.com", long, 1, "service", "full_payment")

    started = payment_body(gateway, description=long, receipt=wordy)
    refunded = refund_body(gateway, description=long)

    assert len(started["description"]) == 128
    assert len(started["receipt"]["items"][0]["description"]) == 128
    assert len(refunded["description"]) == 250
    assert payment_body(gateway, description="😀" * 100)["description"] == "😀" * 64
    assert payment_body(gateway, description="x" + "😀" * 100)["description"] == "x" + "😀" * 63


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0},
        {"amount": -1},
        {"method": "cash"},
        {"return_url": "https://example.com/" + "x" * 2048},
        {"metadata": {f"key{number}": "" for number in range(17)}},
        {"metadata": {"k" * 33: ""}},
        {"metadata": {"k": "v" * 513}},
        {"receipt": Receipt("", "Баллы", 1, "service", "full_payment")},
    ],
)
def test_what_yookassa_cannot_take_is_our_own_mistake(
    gateway: YooKassaGateway, change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        payment_body(gateway, **change)


@pytest.mark.parametrize("change", [{"amount": 19.99}, {"amount": True}, {"metadata": {"k": 5}}])
def test_floats_and_numbers_are_refused_where_kopeks_and_text_belong(
    gateway: YooKassaGateway, change: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        payment_body(gateway, **change)


@pytest.mark.parametrize("key", ["", "k" * 65, "ключ", "a key", "key\n"])
def test_a_key_that_yookassa_would_refuse_is_not_sent(
    api: ScriptedYooKassa, gateway: YooKassaGateway, key: str
) -> None:
    with pytest.raises(ValueError, match="idempotence key"):
        gateway.start(body=payment_body(gateway), key=key)
    assert api.requests == []


def test_a_payment_is_fetched_with_all_that_is_known_of_it(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    found = changed(
        PAYMENT,
        {
            "status": "canceled",
            "payment_method.type": "sbp",
            "refunded_amount": {"value": "0.01", "currency": "RUB"},
            "receipt_registration": "pending",
            "cancellation_details": {"party": "yoo_money", "reason": "a_reason_of_next_year"},
            "test": True,
        },
    )
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, found))

    payment = gateway.fetch(PAYMENT_ID)

    assert payment.status is RemoteStatus.CANCELED
    assert (payment.method, payment.refunded, payment.is_test) == ("sbp", 1, True)
    assert payment.receipt_registration == "pending"
    assert payment.cancellation_party == "yoo_money"
    assert payment.cancellation_reason == "a_reason_of_next_year"


def test_money_is_given_back(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    api.answer("POST", "/refunds", Reply(200, REFUND))
    body = refund_body(gateway)

    refund = gateway.refund(body=body, key=KEY)

    assert sent(api) == [body]
    assert body == {
        "amount": {"value": "100.00", "currency": "RUB"},
        "description": "Возврат",
        "metadata": {"refund_id": "9"},
        "payment_id": PAYMENT_ID,
    }
    assert api.requests[0].headers["Idempotence-Key"] == KEY
    assert (refund.id, refund.payment_id, refund.status) == (REFUND_ID, PAYMENT_ID, RemoteStatus.SUCCEEDED)
    assert (refund.amount, refund.currency, refund.metadata) == (10_000, "RUB", {"refund_id": "9"})


def test_a_refund_that_was_canceled_says_why(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    reason = {"party": "yoo_money", "reason": "insufficient_funds"}
    canceled = changed(REFUND, {"status": "canceled", "cancellation_details": reason})
    api.answer("GET", f"/refunds/{REFUND_ID}", Reply(200, canceled))

    refund = gateway.fetch_refund(REFUND_ID)

    assert (refund.status, refund.cancellation_reason) == (RemoteStatus.CANCELED, "insufficient_funds")


def test_a_payment_or_refund_unknown_to_yookassa_is_not_found(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    with pytest.raises(NotFoundAtGateway):
        gateway.fetch(PAYMENT_ID)
    with pytest.raises(NotFoundAtGateway):
        gateway.fetch_refund(REFUND_ID)
    assert api.asked == [f"GET /v3/payments/{PAYMENT_ID}", f"GET /v3/refunds/{REFUND_ID}"]


@pytest.mark.parametrize("forged", ["", ".", "..", "../me", "a/b", "a?b", "x" * 65, "платёж", "a\nb"])
def test_an_id_that_cannot_be_yookassas_is_not_asked_for(
    api: ScriptedYooKassa, gateway: YooKassaGateway, forged: str
) -> None:
    with pytest.raises(NotFoundAtGateway):
        gateway.fetch(forged)
    assert api.requests == []


def test_the_shop_says_who_it_is(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    about = {
        "account_id": SHOP_ID,
        "status": "enabled",
        "test": False,
        "fiscalization": {"enabled": True, "provider": "avanpost"},
        "payment_methods": ["bank_card", "sbp"],
    }
    api.answer("GET", "/me", Reply(200, about))

    assert gateway.me() == Shop(SHOP_ID, True, False, True, ("bank_card", "sbp"))


def numbered(number: int, created_at: datetime) -> dict[str, Any]:
    return PAYMENT | {"id": f"payment-{number}", "created_at": created_at.isoformat()}


def test_a_list_is_read_to_its_last_page_and_each_payment_once(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    payments = [numbered(number, NOON - timedelta(seconds=number)) for number in range(5)]
    pages = {
        None: (payments[:2], "second"),
        "second": (payments[1:4], "third"),
        "third": (payments[4:], None),
    }

    def page(request: Request) -> Reply:
        cursor = parse_qs(urlsplit(request.path).query).get("cursor", [None])[0]
        items, following = pages[cursor]
        body = {"type": "list", "items": items} | ({"next_cursor": following} if following else {})
        return Reply(200, body)

    api.answer("GET", "/payments", page)

    listed = list(gateway.list_payments(since=NOON - timedelta(hours=1), until=NOON + timedelta(seconds=1)))

    assert [payment.id for payment in listed] == [f"payment-{number}" for number in range(5)]
    queries = [parse_qs(urlsplit(request.path).query) for request in api.requests]
    period = {
        "created_at.gte": ["2026-11-20T11:00:00.000Z"],
        "created_at.lt": ["2026-11-20T12:00:01.000Z"],
        "limit": ["100"],
    }
    assert queries == [period, period | {"cursor": ["second"]}, period | {"cursor": ["third"]}]


def test_a_list_keeps_to_its_period_to_the_microsecond(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    since, until = NOON + timedelta(microseconds=500), NOON + timedelta(seconds=1, microseconds=500)
    moments = [until, until - timedelta(microseconds=1), since, since - timedelta(microseconds=1)]
    items = [numbered(number, moment) for number, moment in enumerate(moments)]
    api.answer("GET", "/payments", Reply(200, {"type": "list", "items": items}))

    listed = list(gateway.list_payments(since=since, until=until))

    assert [payment.id for payment in listed] == ["payment-1", "payment-2"]
    query = parse_qs(urlsplit(api.requests[0].path).query)
    assert query["created_at.gte"] == ["2026-11-20T12:00:00.000Z"]
    assert query["created_at.lt"] == ["2026-11-20T12:00:01.001Z"]


def test_a_period_in_another_time_zone_is_asked_for_in_utc(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    moscow = datetime.fromisoformat("2026-11-20T15:00:00+03:00")
    api.answer("GET", "/refunds", Reply(200, {"type": "list", "items": [REFUND]}))

    (refund,) = gateway.list_refunds(since=moscow, until=moscow + timedelta(days=1))

    assert refund.id == REFUND_ID
    assert "created_at.gte=2026-11-20T12%3A00%3A00.000Z" in api.requests[0].path


def test_a_period_without_time_zone_is_refused_at_once(gateway: YooKassaGateway) -> None:
    with pytest.raises(ValueError, match="time zone"):
        gateway.list_payments(since=datetime(2026, 11, 20), until=NOON)  # noqa: DTZ001


def test_one_connection_serves_one_request_after_another(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, PAYMENT))
    for _ in range(5):
        gateway.fetch(PAYMENT_ID)
    assert api.connections == 1


def test_threads_that_ask_at_once_get_each_their_own_answer(api: ScriptedYooKassa) -> None:
    gateway = api.gateway(read_timeout=30.0)

    def answer(request: Request) -> Reply:
        return Reply(
            200, PAYMENT | {"id": f"p-{request.headers['Idempotence-Key']}", "amount": request.json["amount"]}
        )

    api.answer("POST", "/payments", answer)

    def start(number: int) -> tuple[str, int]:
        payment = gateway.start(body=payment_body(gateway, amount=number), key=str(number))
        return payment.id, payment.amount

    with ThreadPoolExecutor(16) as pool:
        started = list(pool.map(start, range(1, 201)))

    assert started == [(f"p-{number}", number) for number in range(1, 201)]
    assert len(api.requests) == 200
    gateway.close()


def test_two_shops_of_one_process_sign_each_for_itself(api: ScriptedYooKassa) -> None:
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, PAYMENT))
    first = YooKassaGateway(shop_id="1", secret_key="one", api_url=api.api_url)
    second = YooKassaGateway(shop_id="2", secret_key="two", api_url=api.api_url)

    for gateway in (first, second, first):
        gateway.fetch(PAYMENT_ID)

    signed = [base64.b64decode(request.headers["Authorization"].split()[1]) for request in api.requests]
    assert signed == [b"1:one", b"2:two", b"1:one"]
    first.close()
    second.close()


def test_the_gateway_of_a_payment_is_the_shop_of_the_settings(api: ScriptedYooKassa) -> None:
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, PAYMENT))
    with override_settings(
        YOOKASSA_SHOP_ID=SHOP_ID, YOOKASSA_SECRET_KEY=SECRET_KEY, YOOKASSA_API_URL=api.api_url
    ):
        gateway = gateway_for("yookassa")
        assert gateway.fetch(PAYMENT_ID).shop_id == yookassa_shop_id()
        assert gateway_for("yookassa") is gateway
    with pytest.raises(LookupError, match="paypal"):
        gateway_for("paypal")


@pytest.mark.parametrize("is_ours", [True, False], ids=["our sandbox", "another stand-in"])
def test_without_keys_the_sandbox_serves(api: ScriptedYooKassa, is_ours: bool) -> None:
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, PAYMENT))
    with override_settings(
        YOOKASSA_SHOP_ID="",
        YOOKASSA_SECRET_KEY="",
        YOOKASSA_API_URL=API_URL if is_ours else api.api_url,
        SANDBOX_YOOKASSA_URL=api.url if is_ours else "http://127.0.0.1:9",
    ):
        gateway_for("yookassa").fetch(PAYMENT_ID)
        assert yookassa_shop_id() == "sandbox"
    assert base64.b64decode(api.requests[0].headers["Authorization"].split()[1]) == b"sandbox:sandbox"


def test_half_of_the_keys_does_not_lead_to_the_sandbox() -> None:
    with (
        override_settings(YOOKASSA_SHOP_ID=SHOP_ID, YOOKASSA_SECRET_KEY=""),
        pytest.raises(ValueError, match="secret key"),
    ):
        gateway_for("yookassa")


FORK = """
import os
from django.conf import settings
settings.configure(YOOKASSA_SHOP_ID="1", YOOKASSA_SECRET_KEY="s", YOOKASSA_API_URL="http://127.0.0.1:9/v3")
from payments.gateways.registry import yookassa
before = yookassa()
if child := os.fork():
    os.waitpid(child, 0)
else:
    print("child keeps it:", yookassa() is before, flush=True)
    os._exit(0)
print("parent keeps it:", yookassa() is before)
"""


def test_a_forked_process_does_not_share_the_connections() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORK], cwd=BASE_DIR, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.splitlines() == ["child keeps it: False", "parent keeps it: True"]


@pytest.mark.parametrize(
    "url",
    ["", "api.yookassa.ru", "ftp://a/", "https://user:s3cret@a/v3", "https://a/v3?s3cret", "http://[s3cret"],
)
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        YooKassaGateway(shop_id=SHOP_ID, secret_key=SECRET_KEY, api_url=url)
    assert "s3cret" not in str(caught.value)


def test_a_shop_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="secret key"):
        YooKassaGateway(shop_id=SHOP_ID, secret_key="")
