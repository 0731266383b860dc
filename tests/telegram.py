"""A sandbox Telegram, as the real process, and people who have talked to the bot there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from botapp.models import Chat
from qwenedit.users.models import User
from tests.servers import TelegramServer


class Telegram(TelegramServer):
    """A Telegram sandbox, asked what tests of the bot want to know."""

    def clear_faults(self) -> None:
        """Forget the faults that are planned."""
        self.fault(clear=True)

    def calls(self, method: str = "", **wanted: Any) -> list[dict[str, Any]]:
        """Return the bot's calls, selected by method, `since` or `chat_id`."""
        return super().calls(**wanted | ({"method": method} if method else {}))

    def said(self, user_id: int) -> list[dict[str, Any]]:
        """Return the bot's messages in a chat, oldest first."""
        return [message for message in self.chat(user_id)["messages"] if message["from"] == "bot"]

    def words(self, user_id: int) -> list[str]:
        """Return the words of the bot's messages in a chat."""
        return [message.get("text") or message.get("caption") or "" for message in self.said(user_id)]

    def meet(self, user: User) -> None:
        """Let a user of ours start the bot; what that sends to the bot is taken off its queue."""
        fields = {"user_id": user.telegram_id, "language_code": user.language}
        self.act("user", first_name=user.first_name or user.username, username=user.username, **fields)
        update_id = self.act("message", user_id=user.telegram_id, text="/start")["update_id"]
        requests.post(
            f"{self.api_url}{self.token}/getUpdates",
            json={"offset": update_id + 1, "timeout": 0},
            timeout=10,
        ).raise_for_status()


@pytest.fixture(scope="session")
def _session_telegram() -> Iterator[Telegram]:
    with Telegram("telegram") as server:
        yield server


@pytest.fixture
def telegram(_session_telegram: Telegram, settings: Any) -> Telegram:
    """A Telegram without chats and faults, that our bot talks to."""
    if _session_telegram.process is None or _session_telegram.process.poll() is not None:
        _session_telegram.restart()  # a test before this one made it die
    _session_telegram.act("reset")
    settings.SANDBOX_TELEGRAM_URL = _session_telegram.url
    return _session_telegram


@pytest.fixture
def meet(telegram: Telegram) -> Callable[[User], Chat]:
    """Let a user start the bot, at Telegram and here, and return their chat."""

    def meet(user: User) -> Chat:
        telegram.meet(user)
        return Chat.objects.create(pk=user.telegram_id, user=user)

    return meet


@pytest.fixture
def alice_chat(alice: User, meet: Callable[[User], Chat]) -> Chat:
    """The chat of alice, who has started the bot and reads English."""
    return meet(alice)


@pytest.fixture
def bob_chat(bob: User, meet: Callable[[User], Chat]) -> Chat:
    """The chat of bob, who has started the bot and reads Russian."""
    User.objects.filter(pk=bob.pk).update(language="ru")
    bob.refresh_from_db()
    return meet(bob)
