"""A sandbox YooKassa per module, as new for every test; alice keeps the shop, the receiver is her server."""

from collections.abc import Iterator

import pytest

from tests.sandbox.yookassa.driving import Client
from tests.sandbox.yookassa.receiver import Receiver, run_receiver
from tests.servers import YooKassaServer, start_sandbox_yookassa


@pytest.fixture(scope="module")
def running_server() -> Iterator[YooKassaServer]:
    with start_sandbox_yookassa() as server:
        yield server


@pytest.fixture
def server(running_server: YooKassaServer) -> YooKassaServer:
    running_server.do("reset")
    return running_server


@pytest.fixture
def alice(server: YooKassaServer) -> Client:
    return Client(server)


@pytest.fixture
def receiver(server: YooKassaServer) -> Iterator[Receiver]:
    with run_receiver() as receiver:
        server.do("webhooks", url=receiver.url)
        yield receiver
