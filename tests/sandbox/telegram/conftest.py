"""A sandbox Telegram, as new for every test; alice, who writes to the bot; a bot by plain HTTP."""

from collections.abc import Iterator

import pytest

from tests.sandbox.telegram.driving import PlainBot
from tests.sandbox.telegram.receiver import Receiver, run_receiver
from tests.servers import TelegramServer, start_sandbox_telegram

ALICE = 500_001


@pytest.fixture(scope="session")
def running_server() -> Iterator[TelegramServer]:
    with start_sandbox_telegram() as server:
        yield server


@pytest.fixture
def server(running_server: TelegramServer) -> TelegramServer:
    running_server.act("reset")
    return running_server


@pytest.fixture
def bot(server: TelegramServer) -> PlainBot:
    return PlainBot(server)


@pytest.fixture
def alice(server: TelegramServer) -> int:
    """The number of a person who has pressed Start; that update is confirmed."""
    server.act("user", user_id=ALICE, first_name="Alice", username="alice", language_code="en")
    server.act("message", user_id=ALICE, text="/start")
    PlainBot(server).ok("deleteWebhook", drop_pending_updates=True)
    return ALICE


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as receiver:
        yield receiver
