"""YooKassa as a gateway: what is asked, and what each answer means for a payment.

It owns the three outcomes of a call and repeats none: whether to ask again is the caller's decision. It knows
no rows, and neither credentials nor connections, which are `yookassa_transport`'s.

    200                                    the object
    400 401 403 404 405 410 415            GatewayRejected; 404 of what is fetched is NotFoundAtGateway
    202 429 5xx, anything else, no answer  GatewayUnavailable

Source: the recommendations for handling answers in the documentation of YooKassa's API v3.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from payments.gateways import yookassa_bodies
from payments.gateways.base import (
    GatewayRejected,
    GatewayUnavailable,
    NotFoundAtGateway,
    Receipt,
    RemotePayment,
    RemoteRefund,
)
from payments.gateways.yookassa_answers import (
    Shop,
    read_page,
    read_payment,
    read_refund,
    read_shop,
    unreadable,
)
from payments.gateways.yookassa_transport import Answer, ShopClient

logger = logging.getLogger(__name__)

API_URL = "https://api.yookassa.ru/v3"
REFUSALS = {400, 401, 403, 404, 405, 410, 415}
KEY = re.compile(r"[0-9a-zA-Z+\-_.]{1,64}")
REMOTE_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}")
PAGE_SIZE = 100
MAX_PAGES = 10_000
Remote = TypeVar("Remote", RemotePayment, RemoteRefund)


class YooKassaGateway:
    """One shop at YooKassa; threads may share it, processes may not (create it after forking).

    Timeouts are seconds. YooKassa itself gives up on an operation after 30 s and answers 500.
    """

    name = "yookassa"

    def __init__(
        self,
        *,
        shop_id: str,
        secret_key: str,
        api_url: str = API_URL,
        connect_timeout: float = 5.0,
        read_timeout: float = 30.0,
    ) -> None:
        self.shop_id = shop_id
        self._client = ShopClient(
            api_url=api_url,
            shop_id=shop_id,
            secret_key=secret_key,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )

    def __repr__(self) -> str:
        return f"<YooKassaGateway shop {self.shop_id}>"

    def close(self) -> None:
        """Close the pooled connections; the gateway can still be used."""
        self._client.close()

    def start_body(
        self,
        *,
        amount: int,
        method: str,
        description: str,
        return_url: str,
        metadata: Mapping[str, str],
        receipt: Receipt | None,
    ) -> dict[str, Any]:
        """Return the body of a payment of `amount` kopeks by `method` (`card` or `sbp`).

        A description that is too long is cut. Raises ValueError for what YooKassa cannot take.
        """
        return yookassa_bodies.payment_body(
            amount=amount,
            method=method,
            description=description,
            return_url=return_url,
            metadata=metadata,
            receipt=receipt,
        )

    def start(self, *, body: Mapping[str, Any], key: str) -> RemotePayment:
        """Create the payment. Raises GatewayRejected, GatewayUnavailable."""
        return read_payment(self._create("/payments", body, key))

    def fetch(self, payment_id: str) -> RemotePayment:
        """Ask for a payment: the truth. Raises NotFoundAtGateway, GatewayRejected, GatewayUnavailable."""
        return read_payment(self._fetch("/payments", payment_id))

    def refund_body(
        self,
        *,
        payment_id: str,
        amount: int,
        description: str,
        metadata: Mapping[str, str],
        receipt: Receipt | None,
    ) -> dict[str, Any]:
        """Return the body of a refund of `amount` kopeks; a full refund must have no receipt.

        A description that is too long is cut. Raises ValueError for what YooKassa cannot take.
        """
        return yookassa_bodies.refund_body(
            payment_id=payment_id,
            amount=amount,
            description=description,
            metadata=metadata,
            receipt=receipt,
        )

    def refund(self, *, body: Mapping[str, Any], key: str) -> RemoteRefund:
        """Give money back. Raises GatewayRejected, GatewayUnavailable."""
        content = self._create("/refunds", body, key)
        if content.get("payment_id") != body["payment_id"]:
            raise unreadable("payment_id", content)
        return read_refund(content)

    def fetch_refund(self, refund_id: str) -> RemoteRefund:
        """Ask for a refund. Raises NotFoundAtGateway, GatewayRejected, GatewayUnavailable."""
        return read_refund(self._fetch("/refunds", refund_id))

    def list_payments(self, *, since: datetime, until: datetime) -> Iterator[RemotePayment]:
        """Yield the payments created in [since, until), newest first, each once, a page a request."""
        return self._list("/payments", read_payment, since, until)

    def list_refunds(self, *, since: datetime, until: datetime) -> Iterator[RemoteRefund]:
        """Yield the refunds created in [since, until), newest first, each once, a page a request."""
        return self._list("/refunds", read_refund, since, until)

    def me(self) -> Shop:
        """Ask which shop the secret key belongs to. Raises GatewayRejected for a wrong key."""
        return read_shop(self._understood(self._client.get("/me")))

    def _create(self, path: str, body: Mapping[str, Any], key: str) -> dict[str, Any]:
        if not KEY.fullmatch(key):
            raise ValueError("an idempotence key has 1 to 64 characters of 0-9 a-z A-Z + - _ .")
        return self._understood(self._client.post(path, body, key=key))

    def _fetch(self, path: str, remote_id: str) -> dict[str, Any]:
        # Ids come from notifications, which anybody may write: no other path is asked for.
        if not REMOTE_ID.fullmatch(remote_id):
            raise NotFoundAtGateway(
                "The payment service has no such record.", detail=f"id {remote_id!r:.100}"
            )
        answer = self._client.get(f"{path}/{remote_id}")
        if answer.status == 404:
            raise NotFoundAtGateway("The payment service has no such record.", detail=answer.describe())
        content = self._understood(answer)
        if content.get("id") != remote_id:
            raise unreadable("id", content)
        return content

    def _list(
        self, path: str, read: Callable[[Mapping[str, Any]], Remote], since: datetime, until: datetime
    ) -> Iterator[Remote]:
        if since.tzinfo is None or until.tzinfo is None:
            raise ValueError("a period has time zones")
        parameters = {
            "created_at.gte": _milliseconds(since),
            # The end is moved up to a whole millisecond: what comes of it beyond the end is left out below.
            "created_at.lt": _milliseconds(until + timedelta(microseconds=999)),
            "limit": str(PAGE_SIZE),
        }
        return self._pages(path, read, parameters, since, until)

    def _pages(
        self,
        path: str,
        read: Callable[[Mapping[str, Any]], Remote],
        parameters: Mapping[str, str],
        since: datetime,
        until: datetime,
    ) -> Iterator[Remote]:
        seen: set[str] = set()
        cursors: set[str] = set()
        cursor = ""
        while True:
            page = {**parameters, "cursor": cursor} if cursor else parameters
            items, cursor = read_page(self._understood(self._client.get(path, page)))
            for remote in map(read, items):
                # Something new moves what follows it to the next page, where it comes a second time.
                if since <= remote.created_at < until and remote.id not in seen:
                    seen.add(remote.id)
                    yield remote
            if not cursor:
                return
            if cursor in cursors or len(cursors) >= MAX_PAGES:
                raise GatewayUnavailable(detail=f"{path}: the list has no end after {len(cursors)} pages")
            cursors.add(cursor)

    def _understood(self, answer: Answer) -> dict[str, Any]:
        content = answer.json()
        if answer.status == 200 and content is not None:
            return content
        if answer.status not in REFUSALS:
            raise GatewayUnavailable(detail=answer.describe())
        code = (content or {}).get("code")
        if answer.status == 401:
            logger.error("YooKassa refuses the secret key of shop %s: no payment can be made", self.shop_id)
        raise GatewayRejected(
            "The payment service refused the request.",
            reason=code if isinstance(code, str) and code else f"http_{answer.status}",
            detail=answer.describe(),
        )


def _milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
