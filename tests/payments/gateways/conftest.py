"""A scripted YooKassa for each test, and a gateway to it."""

from collections.abc import Iterator

import pytest

from payments.gateways.yookassa import YooKassaGateway
from tests.payments.gateways.objects import ScriptedYooKassa


@pytest.fixture
def api() -> Iterator[ScriptedYooKassa]:
    with ScriptedYooKassa() as server:
        yield server


@pytest.fixture
def gateway(api: ScriptedYooKassa) -> Iterator[YooKassaGateway]:
    one = api.gateway()
    yield one
    one.close()
