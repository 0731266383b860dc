"""The gateway against what is not a plain answer: silence, broken lines, proxies, refusals and nonsense."""

import base64
import json
import logging
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from yookassa import Configuration

from payments.gateways.base import GatewayError, GatewayRejected, GatewayUnavailable, NotFoundAtGateway
from payments.gateways.yookassa import YooKassaGateway
from tests.comfy.scripted import Answer, Reply, Request, drop_connection
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
    refusal,
)

BODY = {"amount": {"value": "19.99", "currency": "RUB"}, "payment_id": PAYMENT_ID}
NGINX = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
Call = Callable[[YooKassaGateway], object]


def start(gateway: YooKassaGateway) -> object:
    return gateway.start(body=BODY, key=KEY)


def refund(gateway: YooKassaGateway) -> object:
    return gateway.refund(body=BODY, key=KEY)


def fetch(gateway: YooKassaGateway) -> object:
    return gateway.fetch(PAYMENT_ID)


def fetch_refund(gateway: YooKassaGateway) -> object:
    return gateway.fetch_refund(REFUND_ID)


def list_payments(gateway: YooKassaGateway) -> object:
    return list(
        gateway.list_payments(
            since=datetime(2026, 11, 1, tzinfo=UTC), until=datetime(2026, 12, 1, tzinfo=UTC)
        )
    )


def me(gateway: YooKassaGateway) -> object:
    return gateway.me()


ROUTES: dict[Call, tuple[str, str]] = {
    start: ("POST", "/payments"),
    refund: ("POST", "/refunds"),
    fetch: ("GET", f"/payments/{PAYMENT_ID}"),
    fetch_refund: ("GET", f"/refunds/{REFUND_ID}"),
    list_payments: ("GET", "/payments"),
    me: ("GET", "/me"),
}
CALLS = list(ROUTES)


def answer_to(api: ScriptedYooKassa, call: Call, answer: Answer) -> None:
    method, path = ROUTES[call]
    api.answer(method, path, answer)


def reset(request: Request) -> None:
    """Begin an answer and reset the connection."""
    handler = request.handler
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + json.dumps(PAYMENT).encode()[:50]
    )
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def truncate(request: Request) -> None:
    """Promise more than comes; what comes is a whole object."""
    request.handler.wfile.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + json.dumps(PAYMENT).encode()
    )
    request.handler.close_connection = True


def babble(request: Request) -> None:
    request.handler.wfile.write(b"220 mail.example.com ESMTP\r\n")
    request.handler.close_connection = True


UNKNOWN_OUTCOMES: dict[str, Answer] = {
    "dropped": drop_connection,
    "reset within the answer": reset,
    "truncated": truncate,
    "not HTTP": babble,
    "processing 202": Reply(202, {"type": "processing", "retry_after": 1800}),
    "too many 429": Reply(
        429, {"type": "error", "code": "too_many_requests"}, {"Retry-After": "1", "Content-Type": "x/y"}
    ),
    "unavailable 503": Reply(503, {"type": "error"}, {"Retry-After": "0"}),
    "error 500": refusal(500, "internal_server_error"),
    "nginx 502": Reply(502, NGINX, {"Content-Type": "text/html"}),
    "redirect 302": Reply(302, b"", {"Location": "/v3/me"}),
    "no content 204": Reply(204, b"", {}),
    "timeout 408": Reply(408, b""),
    "empty 200": Reply(200, b""),
    "html 200": Reply(200, NGINX, {"Content-Type": "text/html"}),
    "half a JSON": Reply(200, b'{"id": "2f1c'),
    "a JSON list": Reply(200, b"[1]"),
    "too deep": Reply(200, b'{"a":' * 100_000),
    "an empty object": Reply(200, {}),
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("fault", UNKNOWN_OUTCOMES, ids=str)
def test_what_is_no_clear_answer_leaves_the_outcome_unknown_and_is_asked_once(
    api: ScriptedYooKassa, gateway: YooKassaGateway, call: Call, fault: str
) -> None:
    answer_to(api, call, UNKNOWN_OUTCOMES[fault])

    with pytest.raises(GatewayUnavailable) as caught:
        call(gateway)

    assert caught.value.retryable
    assert caught.value.detail
    assert len(api.requests) == 1


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refusal(400, "invalid_request", "Idempotence key duplicated"), "invalid_request"),
        (refusal(401, "invalid_credentials"), "invalid_credentials"),
        (refusal(403, "forbidden"), "forbidden"),
        (refusal(410, "gone"), "gone"),
        (Reply(403, b"<html>WAF</html>"), "http_403"),
        (Reply(405, b""), "http_405"),
        (Reply(415, b""), "http_415"),
        (Reply(400, {"type": "error", "code": 5}), "http_400"),
    ],
)
def test_a_refusal_is_definite_and_keeps_the_gateways_own_code(
    api: ScriptedYooKassa, gateway: YooKassaGateway, call: Call, reply: Reply, reason: str
) -> None:
    answer_to(api, call, reply)

    with pytest.raises(GatewayRejected) as caught:
        call(gateway)

    assert caught.value.reason == reason
    assert not caught.value.retryable
    assert f"HTTP {reply.status}" in caught.value.detail
    assert len(api.requests) == 1


def test_not_found_refuses_what_is_to_be_created(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    api.answer("POST", "/refunds", refusal(404, "not_found"))
    with pytest.raises(GatewayRejected, match="refused"):
        refund(gateway)
    api.answer("GET", f"/refunds/{REFUND_ID}", refusal(404, "not_found"))
    with pytest.raises(NotFoundAtGateway):
        fetch_refund(gateway)


def test_a_refused_key_raises_the_operators_alarm(
    api: ScriptedYooKassa, gateway: YooKassaGateway, caplog: pytest.LogCaptureFixture
) -> None:
    api.answer("POST", "/payments", refusal(401, "invalid_credentials"))
    with pytest.raises(GatewayRejected):
        start(gateway)
    assert [(record.levelname, SHOP_ID in record.getMessage()) for record in caplog.records] == [
        ("ERROR", True)
    ]


def test_a_refused_connection_leaves_the_outcome_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    gateway = YooKassaGateway(shop_id=SHOP_ID, secret_key=SECRET_KEY, api_url=f"http://127.0.0.1:{port}/v3")
    for call in CALLS:
        with pytest.raises(GatewayUnavailable) as caught:
            call(gateway)
        assert "refused" in caught.value.detail
    gateway.close()


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Yield the address of a server that hands each connection to `serve`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v3"
        server.shutdown(socket.SHUT_RDWR)


def gateway_at(url: str, **timeouts: float) -> YooKassaGateway:
    return YooKassaGateway(shop_id=SHOP_ID, secret_key=SECRET_KEY, api_url=url, **timeouts)


def test_a_silent_server_is_given_up_after_the_read_timeout() -> None:
    over = threading.Event()

    def say_nothing(connection: socket.socket) -> None:
        with connection:
            over.wait(20)

    with listener(say_nothing) as url:
        gateway = gateway_at(url, read_timeout=0.3)
        began = time.monotonic()
        with pytest.raises(GatewayUnavailable) as caught:
            start(gateway)
        over.set()
        gateway.close()

    assert 0.3 <= time.monotonic() - began < 15
    assert "timed out" in caught.value.detail.lower()


def test_an_answer_that_trickles_is_given_up_after_both_timeouts_together() -> None:
    def trickle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                connection.sendall(b" ")
                time.sleep(0.05)

    with listener(trickle) as url:
        gateway = gateway_at(url, connect_timeout=0.2, read_timeout=2.0)
        began = time.monotonic()
        with pytest.raises(GatewayUnavailable) as caught:
            fetch(gateway)
        gateway.close()

    assert 2.2 <= time.monotonic() - began < 20
    assert "no end of the answer" in caught.value.detail


def test_an_endless_answer_is_given_up_for_its_size(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    def never_stop(request: Request) -> None:
        request.handler.close_connection = True
        with suppress(OSError):
            request.handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                request.handler.wfile.write(b" " * 100_000)

    api.answer("GET", "/me", never_stop)
    with pytest.raises(GatewayUnavailable, match="does not answer") as caught:
        me(gateway)
    assert "no end of the answer" in caught.value.detail


def test_the_same_bytes_go_out_again_after_a_lost_answer(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    def lose_the_first(request: Request) -> Reply | None:
        return drop_connection(request) if len(api.requests) == 1 else Reply(200, PAYMENT)

    api.answer("POST", "/payments", lose_the_first)
    with pytest.raises(GatewayUnavailable):
        start(gateway)

    payment = gateway.start(body=json.loads(json.dumps(BODY)), key=KEY)

    first, second = api.requests
    assert payment.id == PAYMENT_ID
    assert first.body == second.body
    assert first.headers["Idempotence-Key"] == second.headers["Idempotence-Key"] == KEY


UNREADABLE_PAYMENTS: list[dict[str, Any]] = [
    {"id": None},
    {"id": 5},
    {"status": None},
    {"status": "partially_succeeded"},
    {"status": "SUCCEEDED"},
    {"status": ["succeeded"]},
    {"amount": None},
    {"amount": "299.00"},
    {"amount.value": None},
    {"amount.value": 299.0},
    {"amount.value": 299},
    {"amount.value": "299,00"},
    {"amount.value": "299.001"},
    {"amount.value": "299."},
    {"amount.value": "-299.00"},
    {"amount.value": " 299.00"},
    {"amount.value": "299.00\n"},
    {"amount.value": "2e2"},
    {"amount.value": "NaN"},
    {"amount.value": "1 000.00"},
    {"amount.value": "٢٩٩.٠٠"},
    {"amount.value": "1234567890123456.00"},
    {"amount.currency": None},
    {"refunded_amount": {"value": "x", "currency": "RUB"}},
    {"refunded_amount": {"value": "1.00", "currency": "USD"}},
    {"recipient": None},
    {"recipient.account_id": None},
    {"recipient.account_id": 100500},
    {"test": None},
    {"test": "false"},
    {"test": 0},
    {"created_at": None},
    {"created_at": "yesterday"},
    {"created_at": "2026-11-20T10:00:00"},
    {"confirmation.confirmation_url": "javascript:alert(1)"},
]


@pytest.mark.parametrize("change", UNREADABLE_PAYMENTS, ids=str)
def test_a_payment_that_cannot_be_understood_moves_no_money(
    api: ScriptedYooKassa, gateway: YooKassaGateway, change: dict[str, Any]
) -> None:
    strange = changed(PAYMENT, change)
    api.answer("POST", "/payments", Reply(200, strange))
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, strange))
    api.answer("GET", "/payments", Reply(200, {"type": "list", "items": [strange]}))

    for call in (start, fetch, list_payments):
        with pytest.raises(GatewayUnavailable) as caught:
            call(gateway)
        assert caught.value.detail.startswith(f"unreadable {next(iter(change))}")


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"payment_id": None},
        {"payment_id": 7},
        {"status": "waiting_for_capture"},
        {"status": "held"},
        {"amount.value": 100.0},
        {"created_at": None},
    ],
    ids=str,
)
def test_a_refund_that_cannot_be_understood_moves_no_money(
    api: ScriptedYooKassa, gateway: YooKassaGateway, change: dict[str, Any]
) -> None:
    strange = changed(REFUND, change)
    api.answer("POST", "/refunds", Reply(200, strange))
    api.answer("GET", f"/refunds/{REFUND_ID}", Reply(200, strange))

    for call in (refund, fetch_refund):
        with pytest.raises(GatewayUnavailable) as caught:
            call(gateway)
        assert caught.value.detail.startswith(f"unreadable {next(iter(change))}")


def test_the_answer_to_another_question_is_not_taken(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    other = {"id": "2f1c1a4e-000f-5001-8000-000000000000"}
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, PAYMENT | other))
    api.answer("GET", f"/refunds/{REFUND_ID}", Reply(200, REFUND | other))
    api.answer("POST", "/refunds", Reply(200, REFUND | {"payment_id": other["id"]}))
    for call in (fetch, fetch_refund, refund):
        with pytest.raises(GatewayUnavailable, match="could not be understood"):
            call(gateway)


@pytest.mark.parametrize(
    ("text", "kopeks"),
    [("299", 29_900), ("299.5", 29_950), ("299.05", 29_905), ("0.00", 0), ("0299.00", 29_900)],
)
def test_an_amount_that_is_exact_is_read_however_it_is_spelt(
    api: ScriptedYooKassa, gateway: YooKassaGateway, text: str, kopeks: int
) -> None:
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, changed(PAYMENT, {"amount.value": text})))
    assert gateway.fetch(PAYMENT_ID).amount == kopeks


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"-Infinity", rb'"a\u0000b"', rb'"\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"\x00"'],
    ids=str,
)
def test_an_answer_that_no_database_could_store_is_not_taken(
    api: ScriptedYooKassa, gateway: YooKassaGateway, value: bytes
) -> None:
    stored = json.dumps(PAYMENT | {"description": "x"}).encode()
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, stored))
    assert gateway.fetch(PAYMENT_ID).raw["description"] == "x"

    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, stored.replace(b'"x"', value)))
    with pytest.raises(GatewayUnavailable) as caught:
        gateway.fetch(PAYMENT_ID)
    assert "\x00" not in caught.value.detail


def test_letters_and_pictures_written_as_escapes_are_read(
    api: ScriptedYooKassa, gateway: YooKassaGateway
) -> None:
    escaped = json.dumps(PAYMENT | {"description": "баллы 😀"}, ensure_ascii=True).encode()
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, escaped))
    assert gateway.fetch(PAYMENT_ID).raw["description"] == "баллы 😀"


@pytest.mark.parametrize(
    "page",
    [
        {"type": "list"},
        {"type": "list", "items": {}},
        {"type": "list", "items": [PAYMENT, "payment"]},
        {"type": "list", "items": [], "next_cursor": 5},
        {"type": "list", "items": [], "next_cursor": "the same for ever"},
    ],
    ids=lambda page: str(page)[:60],
)
def test_a_list_that_cannot_be_read_to_its_end_is_no_list(
    api: ScriptedYooKassa, gateway: YooKassaGateway, page: dict[str, Any]
) -> None:
    api.answer("GET", "/payments", Reply(200, page))
    with pytest.raises(GatewayUnavailable):
        list_payments(gateway)
    assert len(api.requests) <= 2


def test_a_list_that_breaks_off_is_no_list(api: ScriptedYooKassa, gateway: YooKassaGateway) -> None:
    def second_page_fails(request: Request) -> Reply:
        whole = {"type": "list", "items": [PAYMENT], "next_cursor": "second"}
        return refusal(500, "internal_server_error") if "cursor=" in request.path else Reply(200, whole)

    api.answer("GET", "/payments", second_page_fails)
    with pytest.raises(GatewayUnavailable):
        list_payments(gateway)


def test_a_connection_that_the_server_closed_in_the_meantime_is_replaced() -> None:
    closed: list[threading.Event] = [threading.Event(), threading.Event()]
    served = iter(closed)

    def answer_once(connection: socket.socket) -> None:
        body = json.dumps(PAYMENT).encode()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        next(served).set()

    with listener(answer_once) as url:
        gateway = gateway_at(url, read_timeout=30.0)
        for event in closed:
            assert gateway.fetch(PAYMENT_ID).id == PAYMENT_ID
            assert event.wait(30)
        gateway.close()


def test_neither_proxies_nor_passwords_of_the_environment_are_used(
    api: ScriptedYooKassa, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    api.answer("GET", f"/payments/{PAYMENT_ID}", Reply(200, PAYMENT))
    gateway = api.gateway()

    gateway.fetch(PAYMENT_ID)

    assert (
        base64.b64decode(api.requests[0].headers["Authorization"].split()[1]).decode()
        == f"{SHOP_ID}:{SECRET_KEY}"
    )
    gateway.close()


SECRETS = (SECRET_KEY, "Basic ")


def test_the_secret_key_is_in_no_log_no_error_and_no_trace(
    api: ScriptedYooKassa, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Somebody's debugging must not change it: the SDK would write the headers to its logger.
    monkeypatch.setattr(Configuration, "logger", logging.getLogger("sdk"))
    caplog.set_level(logging.DEBUG)
    gateway = api.gateway()
    faults = ("dropped", "reset within the answer", "nginx 502", "empty 200")
    answers = [UNKNOWN_OUTCOMES[fault] for fault in faults] + [
        refusal(401, "invalid_credentials"),
        Reply(200, PAYMENT),
    ]

    shown = [repr(gateway), str(vars(gateway))]
    for answer in answers:
        api.answer("POST", "/payments", answer)
        try:
            start(gateway)
        except GatewayError as error:
            trace = traceback.TracebackException.from_exception(error, capture_locals=True)
            shown += [error.message, error.detail, *trace.format()]
    gateway.close()

    text = "\n".join([*shown, caplog.text])
    assert "GatewayRejected" in text
    assert "POST /v3/payments" in caplog.text
    assert not any(secret in text for secret in SECRETS)


def test_an_exchange_over_tls_needs_a_certificate_that_can_be_trusted(api: ScriptedYooKassa) -> None:
    gateway = gateway_at(api.api_url.replace("http://", "https://"), read_timeout=30.0)
    with pytest.raises(GatewayUnavailable) as caught:
        start(gateway)
    assert "SSL" in caught.value.detail
    gateway.close()
