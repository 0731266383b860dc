"""People, chats and messages: what exists, how it changes, and who is told of a change.

Owns: the index of messages, the waiting for changes, and one counter: every change is an event with a number,
and the number of a message is that of the event that brought it. So "after" means the same for both.
Must not know who changes what, nor the rules of the Bot API.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

from qwenedit.sandbox.telegram.records import Chat, Message, Person, without_empty
from qwenedit.sandbox.telegram.store import Store

BOT = "bot"
USER = "user"
EVENTS = "events"
MOST_TOASTS = 200
ACTION_SECONDS = 5.0


class Chats:
    """The conversations of one server."""

    def __init__(self, store: Store, bot: dict[str, Any]) -> None:
        self.bot = bot
        self.store = store
        self._messages: dict[int, dict[int, Message]] = {}
        for message in store.messages.rows.values():
            self._messages.setdefault(message.chat_id, {})[message.message_id] = message
        self._changes: dict[int, asyncio.Event] = {}
        self._actions: dict[int, tuple[str, float]] = {}

    @property
    def events(self) -> int:
        """How many changes there have been."""
        number: int = self.store.setting(EVENTS, 0)
        return number

    def person(self, user_id: int) -> Person | None:
        """Return a person, None if there is none."""
        return self.store.people.get(user_id)

    def chat(self, chat_id: int) -> Chat | None:
        """Return a chat in which something has happened, None if there is none."""
        return self.store.chats.get(chat_id)

    def open(self, chat_id: int, title: str = "") -> Chat:
        """Return a chat, a new one if there was none."""
        found = self.store.chats.get(chat_id)
        if found is None:
            found = Chat(chat_id, title)
            self.store.chats.save(found)
        return found

    def chat_body(self, chat: Chat) -> dict[str, Any]:
        """Return the Chat object."""
        person = self.person(chat.id) if chat.is_private else None
        if person is not None:
            return person.chat()
        return {"id": chat.id, "title": chat.title, "type": "supergroup"}

    def messages(self, chat_id: int) -> list[Message]:
        """Return the messages of a chat, oldest first."""
        return list(self._messages.get(chat_id, {}).values())

    def message(self, chat_id: int, message_id: int) -> Message | None:
        """Return a message, None if there is none or it was deleted."""
        return self._messages.get(chat_id, {}).get(message_id)

    def post(
        self,
        chat: Chat,
        author: str,
        content: dict[str, Any],
        *,
        sender: dict[str, Any] | None = None,
        kind: str = "",
        reply_to: Message | None = None,
        invoice: dict[str, Any] | None = None,
    ) -> Message:
        """Put a message into a chat; `sender` is the bot unless told."""
        number = self.events + 1
        head = {
            "message_id": number,
            "from": sender or self.bot,
            "chat": self.chat_body(chat),
            "date": int(time.time()),
        }
        if reply_to is not None:
            quoted = {name: value for name, value in reply_to.body.items() if name != "reply_to_message"}
            head["reply_to_message"] = quoted
        body = without_empty(head | content)
        message = Message(chat.id, number, author, body, kind=kind, invoice=invoice)
        self._messages.setdefault(chat.id, {})[number] = message
        self._actions.pop(chat.id, None)
        self.changed(message)
        return message

    def edit(self, message: Message, content: dict[str, Any], *replaced: str) -> None:
        """Change a message: what was in the fields `replaced` goes, `content` comes."""
        kept = {name: value for name, value in message.body.items() if name not in replaced}
        message.body = without_empty(kept | content | {"edit_date": int(time.time())})
        message.edited = True
        self.changed(message)

    def changed(self, message: Message) -> None:
        """Keep a message that is new or has changed, and tell those who wait."""
        chat = self.open(message.chat_id)
        message.event = self.touch(chat)
        self.store.messages.save(message)

    def delete(self, message: Message) -> None:
        """Remove a message."""
        self._messages.get(message.chat_id, {}).pop(message.message_id, None)
        self.store.messages.delete(message.key)
        self.touch(self.open(message.chat_id))

    def touch(self, chat: Chat) -> int:
        """Number a change of a chat, and tell those who wait."""
        chat.event = self.events + 1
        self.store.set(EVENTS, chat.event)
        self.store.chats.save(chat)
        waiting = self._changes.pop(chat.id, None)
        if waiting is not None:
            waiting.set()
        return chat.event

    async def change(self, chat_id: int, timeout: float) -> None:
        """Return at the next change of a chat, or after so many seconds."""
        waiting = self._changes.setdefault(chat_id, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await waiting.wait()

    def toast(self, chat: Chat, text: str, *, show_alert: bool) -> None:
        """Show the answer to a pressed button."""
        chat.toasts.append({"event": self.events + 1, "text": text, "show_alert": show_alert})
        del chat.toasts[:-MOST_TOASTS]
        self.touch(chat)

    def act(self, chat: Chat, action: str) -> None:
        """Show "typing…" or the like, until the next message or for five seconds."""
        self._actions[chat.id] = (action, time.monotonic() + ACTION_SECONDS)
        self.touch(chat)

    def action(self, chat_id: int) -> str | None:
        """Return the chat action that is shown now."""
        action, until = self._actions.get(chat_id, ("", 0.0))
        return action if until > time.monotonic() else None

    def clear(self) -> None:
        """Forget everything, and tell those who wait."""
        self._messages.clear()
        self._actions.clear()
        for waiting in self._changes.values():
            waiting.set()
        self._changes.clear()
