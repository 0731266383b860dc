"""A YooKassa sandbox, as the real process, and payments that are paid there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from payments.models import Payment
from payments.services import start_payment
from qwenedit.users.models import User
from tests.servers import YooKassaServer, start_sandbox_yookassa


@pytest.fixture(scope="session")
def _session_yookassa() -> Iterator[YooKassaServer]:
    with start_sandbox_yookassa() as server:
        yield server


@pytest.fixture
def yookassa(_session_yookassa: YooKassaServer, settings: Any) -> YooKassaServer:
    """A shop without payments and faults, that our gateway talks to; notifications are held back."""
    _session_yookassa.do("reset")
    _session_yookassa.do("pause")
    settings.SANDBOX_YOOKASSA_URL = _session_yookassa.url
    return _session_yookassa


@pytest.fixture
def top_up(alice: User, yookassa: YooKassaServer) -> Callable[..., Payment]:
    """Start a top-up of alice's, 100 rubles by card unless told."""

    def top_up(rubles: int = 100, **options: Any) -> Payment:
        arguments = {
            "user": alice,
            "method": "card",
            "return_url": "https://shop.test/{payment_id}/",
        } | options
        return start_payment(rubles=rubles, **arguments)

    return top_up
