"""Updates as Telegram sends them, for tests that need no chat at the stand-in to make one."""

from itertools import count
from typing import Any

from qwenedit.users.models import User

_numbers = count(1)
NOW = 1_780_000_000


def message(user: User, text: str = "", **fields: Any) -> dict[str, Any]:
    """Return an update with a message of the user's to the bot."""
    number = next(_numbers)
    person = {
        "id": user.telegram_id,
        "is_bot": False,
        "first_name": user.first_name or user.username,
        "language_code": user.language,
    }
    content: dict[str, Any] = {
        "message_id": number,
        "date": NOW,
        "chat": {"id": user.telegram_id, "type": "private", "first_name": person["first_name"]},
        "from": person,
        **fields,
    }
    if text:
        content["text"] = text
    if text.startswith("/"):
        command = text.split()[0]
        content["entities"] = [{"type": "bot_command", "offset": 0, "length": len(command)}]
    return {"update_id": 1_000 + number, "message": content}


def press(user: User, data: str, *, message_id: int, text: str = "Menu") -> dict[str, Any]:
    """Return an update with a press of a button below the bot's message."""
    update = message(user)
    content = update.pop("message")
    below = {
        "message_id": message_id,
        "date": NOW,
        "chat": content["chat"],
        "from": {"id": 100001, "is_bot": True, "first_name": "QwenEdit"},
        "text": text,
    }
    number = update["update_id"]
    query = {"id": str(number), "from": content["from"], "chat_instance": "1", "data": data, "message": below}
    return update | {"callback_query": query}
