"""One update's turn: who is speaking, where their conversation stands, and how to answer.

Handlers get a Turn and nothing else. An answer that Telegram refuses harmlessly (nothing changed, a message
that is gone, an old button) is dealt with here; whatever else goes wrong is raised, and the update is tried
again. A handler may therefore run twice for one update: `key` makes its deeds happen once.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from telegram import InlineKeyboardMarkup, LinkPreviewOptions, Message, Update
from telegram.constants import ParseMode
from telegram.error import BadRequest

from botapp.models import Chat
from botapp.texts import Texts
from qwenedit import bot_api
from qwenedit.users.models import User

STEP_LIFETIME = timedelta(hours=24)
LONGEST_TOAST = 200
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass
class Turn:
    """An update that is being answered. `argument` is what came with the command or the button."""

    update: Update
    chat: Chat
    user: User
    is_new: bool = False
    argument: str = ""
    texts: Texts = field(init=False)
    _is_pressed_answered: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.texts = Texts(self.user.language)

    @property
    def key(self) -> str:
        """Name of this update as the cause of whatever it makes."""
        return f"update:{self.update.update_id}"

    @property
    def message(self) -> Message | None:
        """The message that was sent, or whose button was pressed; None where Telegram no longer has it."""
        message = self.update.effective_message
        return message if isinstance(message, Message) else None

    @property
    def balance(self) -> int:
        """Points the person has now."""
        return User.objects.values_list("balance", flat=True).get(pk=self.user.pk)

    def say(self, text: str, keyboard: InlineKeyboardMarkup | None = None) -> Message:
        """Send a message to the chat."""
        return bot_api.call(
            lambda bot: bot.send_message(
                self.chat.pk,
                text,
                parse_mode=ParseMode.HTML,
                reply_markup=keyboard,
                link_preview_options=NO_PREVIEW,
            )
        )

    def show(self, text: str, keyboard: InlineKeyboardMarkup | None = None) -> None:
        """Turn the menu whose button was pressed into this; where that can not be, send it as a message."""
        self.acknowledge()
        message = self.message
        if self.update.callback_query is None or message is None or not message.text:
            self.say(text, keyboard)
            return
        try:
            bot_api.call(
                lambda bot: bot.edit_message_text(
                    text,
                    chat_id=self.chat.pk,
                    message_id=message.message_id,
                    parse_mode=ParseMode.HTML,
                    reply_markup=keyboard,
                    link_preview_options=NO_PREVIEW,
                )
            )
        except BadRequest as error:
            if not is_unchanged(error):
                self.say(text, keyboard)

    def acknowledge(self, text: str = "", *, alert: bool = False) -> None:
        """Answer the press of a button, once: it stops spinning, and shows `text` if there is any."""
        query = self.update.callback_query
        if query is None or self._is_pressed_answered:
            return
        self._is_pressed_answered = True
        with suppress(BadRequest):  # pressed too long ago for Telegram to take an answer
            bot_api.call(
                lambda bot: bot.answer_callback_query(
                    query.id, text[:LONGEST_TOAST] or None, show_alert=alert
                )
            )

    def expect(self, step: str, **draft: Any) -> None:
        """Remember what is waited for, and what was chosen so far."""
        self.chat.step, self.chat.draft = step, draft
        self.chat.expires_at = timezone.now() + STEP_LIFETIME
        self.chat.save(update_fields=["step", "draft", "expires_at"])

    def forget(self) -> None:
        """Forget what was waited for."""
        if self.chat.step or self.chat.draft:
            self.chat.step, self.chat.draft, self.chat.expires_at = "", {}, None
            self.chat.save(update_fields=["step", "draft", "expires_at"])

    def link(self, payload: str) -> str:
        """Return an address that starts the bot with `payload`."""
        return f"https://t.me/{bot_api.identity().username}?start={payload}"


def is_unchanged(error: BadRequest) -> bool:
    """Tell whether Telegram refused an edit because the message says that already."""
    return "message is not modified" in error.message.lower()


def support_contact() -> str:
    """Return whom people may write to, or nothing."""
    return str(settings.SUPPORT_CONTACT)
