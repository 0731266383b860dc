"""The life of payments and refunds between the gateway and the sandbox, faults included."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from payments.gateways.base import (
    GatewayRejected,
    GatewayUnavailable,
    NotFoundAtGateway,
    Receipt,
    RemotePayment,
    RemoteStatus,
)
from payments.gateways.yookassa import YooKassaGateway
from tests.servers import YooKassaServer, start_sandbox_yookassa

pytestmark = pytest.mark.processes

RECEIPT = Receipt("user@example.com", "Баллы: пакет 100", 1, "service", "full_payment")
EVER = {"since": datetime(2020, 1, 1, tzinfo=UTC), "until": datetime(2100, 1, 1, tzinfo=UTC)}
LOST_OR_LATE = [
    {"fault": "drop"},
    {"fault": "drop", "processed": True},
    {"fault": "error"},
    {"fault": "error", "processed": True},
    {"fault": "bad_gateway"},
    {"fault": "bad_gateway", "processed": True},
    {"fault": "unavailable"},
    {"fault": "not_json", "processed": True},
    {"fault": "processing"},
    {"fault": "processing", "processed": True},
    {"fault": "too_many_requests"},
    {"fault": "hang", "seconds": 30, "processed": True},
]


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[YooKassaServer]:
    with start_sandbox_yookassa() as server:
        yield server


@pytest.fixture
def sandbox(running_sandbox: YooKassaServer) -> YooKassaServer:
    running_sandbox.do("reset")
    return running_sandbox


@pytest.fixture
def gateway(sandbox: YooKassaServer) -> Iterator[YooKassaGateway]:
    one = gateway_of(sandbox, read_timeout=30.0)
    yield one
    one.close()


@pytest.fixture
def unlucky(
    sandbox: YooKassaServer, gateway: YooKassaGateway, fault: dict[str, object]
) -> Iterator[YooKassaGateway]:
    """The gateway that meets the fault: one that soon gives up where only that ends the wait."""
    if fault["fault"] != "hang":
        yield gateway
        return
    hasty = gateway_of(sandbox, read_timeout=5.0)
    yield hasty
    hasty.close()


def gateway_of(sandbox: YooKassaServer, *, read_timeout: float) -> YooKassaGateway:
    return YooKassaGateway(
        shop_id="sandbox", secret_key="sandbox", api_url=sandbox.api_url, read_timeout=read_timeout
    )


def body_of(
    gateway: YooKassaGateway, amount: int = 10_000, receipt: Receipt | None = None
) -> dict[str, object]:
    return gateway.start_body(
        amount=amount,
        method="card",
        description="Пополнение баланса",
        return_url="https://example.com/back/",
        metadata={"payment_id": "1042"},
        receipt=receipt,
    )


def start(gateway: YooKassaGateway, amount: int = 10_000) -> RemotePayment:
    return gateway.start(body=body_of(gateway, amount), key=str(uuid4()))


def paid(gateway: YooKassaGateway, sandbox: YooKassaServer, amount: int = 10_000) -> RemotePayment:
    payment = start(gateway, amount)
    sandbox.do("pay", payment_id=payment.id)
    return payment


def refund_body(gateway: YooKassaGateway, payment: RemotePayment, amount: int) -> dict[str, object]:
    return gateway.refund_body(
        payment_id=payment.id, amount=amount, description="Возврат", metadata={"refund_id": "9"}, receipt=None
    )


def test_a_payment_is_started_paid_and_given_back(sandbox: YooKassaServer, gateway: YooKassaGateway) -> None:
    payment = start(gateway, 29_999)
    assert payment.status is RemoteStatus.PENDING
    assert payment.confirmation_url.startswith(sandbox.url)
    assert payment.is_test
    assert payment.shop_id == gateway.me().account_id == "sandbox"

    sandbox.do("pay", payment_id=payment.id)
    succeeded = gateway.fetch(payment.id)
    assert (succeeded.status, succeeded.amount, succeeded.method) == (RemoteStatus.SUCCEEDED, 29_999, "card")
    assert succeeded.metadata["payment_id"] == "1042"

    refund = gateway.refund(body=refund_body(gateway, payment, 9_999), key=str(uuid4()))
    assert (refund.status, refund.amount) == (RemoteStatus.SUCCEEDED, 9_999)
    assert gateway.fetch_refund(refund.id) == refund
    assert gateway.fetch(payment.id).refunded == 9_999


def test_a_shop_with_receipts_takes_ours(sandbox: YooKassaServer, gateway: YooKassaGateway) -> None:
    sandbox.do("shop", fiscalization="yoo_receipt")
    assert gateway.me().sends_receipts

    with pytest.raises(GatewayRejected) as caught:
        start(gateway)
    assert caught.value.reason == "invalid_request"

    payment = gateway.start(body=body_of(gateway, receipt=RECEIPT), key=str(uuid4()))
    assert payment.status is RemoteStatus.PENDING


@pytest.mark.parametrize("fault", LOST_OR_LATE, ids=str)
def test_a_repetition_after_a_lost_answer_makes_no_second_payment(
    sandbox: YooKassaServer, gateway: YooKassaGateway, unlucky: YooKassaGateway, fault: dict[str, object]
) -> None:
    body, key = body_of(gateway), str(uuid4())
    sandbox.do("fault", **fault)
    with pytest.raises(GatewayUnavailable):
        unlucky.start(body=body, key=key)
    assert len(sandbox.requests_seen(method="POST")) == 1

    payment = gateway.start(body=dict(reversed(body.items())), key=key)

    assert gateway.start(body=body, key=key) == payment
    assert [found.id for found in gateway.list_payments(**EVER)] == [payment.id]
    assert [request["key"] for request in sandbox.requests_seen(method="POST")] == [key] * 3


@pytest.mark.parametrize("fault", LOST_OR_LATE, ids=str)
def test_a_repetition_after_a_lost_answer_gives_money_back_once(
    sandbox: YooKassaServer, gateway: YooKassaGateway, unlucky: YooKassaGateway, fault: dict[str, object]
) -> None:
    payment = paid(gateway, sandbox)
    body, key = refund_body(gateway, payment, 4_000), str(uuid4())
    sandbox.do("fault", path="/v3/refunds", **fault)
    with pytest.raises(GatewayUnavailable):
        unlucky.refund(body=body, key=key)

    refund = gateway.refund(body=body, key=key)

    assert [found.id for found in gateway.list_refunds(**EVER)] == [refund.id]
    assert gateway.fetch(payment.id).refunded == 4_000


def test_one_key_with_another_body_is_refused(gateway: YooKassaGateway) -> None:
    key = str(uuid4())
    gateway.start(body=body_of(gateway, 10_000), key=key)
    with pytest.raises(GatewayRejected):
        gateway.start(body=body_of(gateway, 10_001), key=key)


def test_one_key_used_by_many_threads_at_once_makes_one_payment(gateway: YooKassaGateway) -> None:
    body, key = body_of(gateway), str(uuid4())

    def attempt(_: int) -> str | None:
        try:
            return gateway.start(body=body, key=key).id
        except GatewayUnavailable:
            return None

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(attempt, range(32))) - {None}

    assert len(ids) == 1
    assert [payment.id for payment in gateway.list_payments(**EVER)] == list(ids)


def test_what_the_gateway_refuses_is_definite(sandbox: YooKassaServer, gateway: YooKassaGateway) -> None:
    payment = paid(gateway, sandbox)
    with pytest.raises(GatewayRejected):
        gateway.refund(body=refund_body(gateway, payment, 10_001), key=str(uuid4()))
    stranger = YooKassaGateway(shop_id="sandbox", secret_key="wrong", api_url=sandbox.api_url)
    with pytest.raises(GatewayRejected) as caught:
        stranger.me()
    stranger.close()
    assert caught.value.reason == "invalid_credentials"
    assert list(gateway.list_refunds(**EVER)) == []


def test_what_has_just_been_made_may_not_be_found_yet(
    sandbox: YooKassaServer, gateway: YooKassaGateway
) -> None:
    sandbox.do("fault", fault="hidden", seconds=60)
    payment = start(gateway)
    with pytest.raises(NotFoundAtGateway) as caught:
        gateway.fetch(payment.id)
    assert caught.value.retryable

    sandbox.do("advance", seconds=61)
    assert gateway.fetch(payment.id).id == payment.id


def test_a_pending_refund_is_asked_for_until_it_is_decided(
    sandbox: YooKassaServer, gateway: YooKassaGateway
) -> None:
    payment = paid(gateway, sandbox)
    sandbox.do("refund_mode", mode="pending")
    refund = gateway.refund(body=refund_body(gateway, payment, 10_000), key=str(uuid4()))
    assert refund.status is RemoteStatus.PENDING

    sandbox.do("settle_refund", refund_id=refund.id, status="canceled", reason="insufficient_funds")

    decided = gateway.fetch_refund(refund.id)
    assert (decided.status, decided.cancellation_reason) == (RemoteStatus.CANCELED, "insufficient_funds")


def test_a_payment_that_ran_out_of_time_or_was_declined_says_why(
    sandbox: YooKassaServer, gateway: YooKassaGateway
) -> None:
    late, declined = start(gateway), start(gateway)
    sandbox.do("expire", payment_id=late.id)
    sandbox.do("decline", payment_id=declined.id, reason="fraud_suspected")

    late, declined = gateway.fetch(late.id), gateway.fetch(declined.id)

    assert (late.status, late.cancellation_reason) == (RemoteStatus.CANCELED, "expired_on_confirmation")
    assert (late.cancellation_party, declined.cancellation_party) == ("yoo_money", "payment_network")
    assert declined.cancellation_reason == "fraud_suspected"


def test_a_long_list_is_read_whole_and_within_its_period(
    sandbox: YooKassaServer, gateway: YooKassaGateway
) -> None:
    payments = [start(gateway, 100 + number) for number in range(120)]

    listed = list(gateway.list_payments(**EVER))

    assert {payment.id for payment in listed} == {payment.id for payment in payments}
    assert len(listed) == 120
    assert [payment.created_at for payment in listed] == sorted(
        (payment.created_at for payment in payments), reverse=True
    )
    assert len(sandbox.requests_seen(method="GET")) == 2
    middle = payments[60].created_at
    after = {payment.id for payment in gateway.list_payments(since=middle, until=EVER["until"])}
    before = {payment.id for payment in gateway.list_payments(since=EVER["since"], until=middle)}
    assert payments[60].id in after
    assert after | before == {payment.id for payment in payments}
    assert not after & before
    assert (
        list(gateway.list_payments(since=EVER["since"], until=payments[0].created_at - timedelta(days=1)))
        == []
    )
