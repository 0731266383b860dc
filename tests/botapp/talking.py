"""A person who talks to the bot through the stand-in, and the bot's answers, one turn at a time.

What the person does becomes a real update at the stand-in; it is fetched from there and answered in this
process, so that a test sees the outcome when `do` returns.
"""

from typing import Any

import requests

from botapp import updates
from botapp.models import Chat
from qwenedit import bot_api
from tests.telegram import Telegram


class Talk:
    """One person's conversation."""

    def __init__(self, telegram: Telegram, chat: Chat) -> None:
        self.telegram = telegram
        self.user_id = int(chat.pk)

    def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Do something and let the bot answer it; return what the stand-in said of the deed."""
        done = self.telegram.act(action, user_id=self.user_id, **arguments)
        self.answer()
        return done

    def tap(self, label: str = "", **arguments: Any) -> None:
        """Press a button by its label, or by `data`."""
        named = {"label": label} if label else {}
        self.do("tap", wait=False, **named, **arguments)

    def answer(self) -> None:
        """Let the bot answer everything that the stand-in holds for it."""
        offset: int | None = None
        while raws := self._fetch(offset):
            for raw in raws:
                updates.handle_update(raw)
            offset = raws[-1]["update_id"] + 1

    @property
    def last(self) -> dict[str, Any]:
        """The bot's newest message, as the person sees it now."""
        return self.telegram.said(self.user_id)[-1]

    @property
    def text(self) -> str:
        """The words of the bot's newest message."""
        return str(self.last["text"])

    @property
    def labels(self) -> list[str]:
        """What stands on the buttons of the bot's newest message."""
        return [button["label"] for row in self.last["buttons"] for button in row]

    @property
    def toasts(self) -> list[str]:
        """What presses of buttons were answered with, where there were words."""
        return [toast["text"] for toast in self.telegram.chat(self.user_id)["toasts"] if toast["text"]]

    def _fetch(self, offset: int | None) -> list[dict[str, Any]]:
        answer = requests.post(
            f"{self.telegram.url}/bot{bot_api.SANDBOX_TOKEN}/getUpdates",
            json={"offset": offset, "timeout": 0} if offset is not None else {"timeout": 0},
            timeout=10,
        )
        answer.raise_for_status()
        raws: list[dict[str, Any]] = answer.json()["result"]
        return raws
