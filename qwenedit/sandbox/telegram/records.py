"""What is remembered: people, chats, messages, files, updates, charges; and their shapes in the Bot API.

Owns: the fields. Must not know when they change. Every record has a `key`, its name within its table, and
consists of JSON types only.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Person:
    """Somebody with a Telegram account. `started`: has written to the bot, so the bot may write to them."""

    id: int
    first_name: str
    last_name: str = ""
    username: str = ""
    language_code: str = ""
    started: bool = False
    blocked: bool = False

    @property
    def key(self) -> str:
        """Its name within the table."""
        return str(self.id)

    def user(self) -> dict[str, Any]:
        """Return the User object."""
        return without_empty({"id": self.id, "is_bot": False, **self._names()}) | (
            {"language_code": self.language_code} if self.language_code else {}
        )

    def chat(self) -> dict[str, Any]:
        """Return the Chat object of their conversation with the bot."""
        return {"id": self.id, **without_empty(self._names()), "type": "private"}

    def _names(self) -> dict[str, Any]:
        return {"first_name": self.first_name, "last_name": self.last_name, "username": self.username}


@dataclass
class Chat:
    """A conversation, private (`id` is the person's) or of a group.

    `keyboard` is the reply keyboard that is shown, `toasts` the answers to pressed buttons, newest last.
    """

    id: int
    title: str = ""
    members: list[int] = field(default_factory=list)
    pinned: list[int] = field(default_factory=list)
    keyboard: dict[str, Any] | None = None
    toasts: list[dict[str, Any]] = field(default_factory=list)
    event: int = 0

    @property
    def key(self) -> str:
        """Its name within the table."""
        return str(self.id)

    @property
    def is_private(self) -> bool:
        """Whether it is a conversation of one person with the bot."""
        return self.id > 0


@dataclass
class Message:
    """A message. `body` is the Message object as the bot sees it; `event` numbers its last change."""

    chat_id: int
    message_id: int
    author: str
    body: dict[str, Any]
    kind: str = ""
    event: int = 0
    edited: bool = False
    invoice: dict[str, Any] | None = None
    reactions: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its name within the table."""
        return f"{self.chat_id}:{self.message_id}"


@dataclass
class StoredFile:
    """A file; `key` is its file_id.

    `kind` names its type (photo, document, …), `path` its place below the folder of files. A size of a photo
    that nobody has fetched yet has `size` None. `family` lists the ids of every size of one photo, smallest
    first. Of a file of zeros only the length is kept.
    """

    key: str
    unique_id: str
    kind: str
    path: str
    size: int | None
    name: str = ""
    mime_type: str = ""
    width: int = 0
    height: int = 0
    duration: int = 0
    zeros: bool = False
    family: list[str] = field(default_factory=list)


@dataclass
class Update:
    """An update that waits for the bot. `lane` is the chat or person it belongs to: one lane keeps order."""

    update_id: int
    lane: int
    body: dict[str, Any]

    @property
    def key(self) -> str:
        """Its name within the table."""
        return str(self.update_id)


@dataclass
class Charge:
    """Stars that were paid; `key` is the telegram_payment_charge_id."""

    key: str
    user_id: int
    payload: str
    stars: int
    date: int
    refunded_at: int | None = None
    subscription_until: int | None = None
    is_canceled: bool = False


@dataclass
class Setting:
    """One thing of the whole stand-in that outlives its process."""

    key: str
    value: Any = None


def without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are neither None nor an empty text; 0 and false stay."""
    return {name: value for name, value in fields.items() if value is not None and value != ""}
