"""People: who they are, and whether they let the bot write to them."""

import secrets
import time
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.actions import Action
from qwenedit.sandbox.telegram.records import Person

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

FIRST_ID = 200_000_000
IDS = 5_000_000_000


async def user(
    sandbox: "Sandbox", *, user_id: int | None = None, first_name: str | None = None,
    last_name: str | None = None, username: str | None = None, language_code: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Create or change a person."""
    person = find_person(sandbox, FIRST_ID + secrets.randbelow(IDS) if user_id is None else user_id)
    changes = {
        "first_name": first_name,
        "last_name": last_name,
        "username": username,
        "language_code": language_code,
    }
    for name, value in changes.items():
        if value is not None:
            setattr(person, name, value)
    sandbox.store.people.save(person)
    return person.user()


async def block(sandbox: "Sandbox", *, user_id: int) -> dict[str, Any]:
    """Block the bot."""
    return _set_blocked(sandbox, user_id, is_blocked=True)


async def unblock(sandbox: "Sandbox", *, user_id: int) -> dict[str, Any]:
    """Let the bot write again."""
    return _set_blocked(sandbox, user_id, is_blocked=False)


def find_person(sandbox: "Sandbox", user_id: int) -> Person:
    """Return a person, a new one if there was none."""
    if user_id <= 0 or user_id == sandbox.chats.bot["id"]:
        raise ValueError(f"user_id cannot be {user_id}")
    person = sandbox.chats.person(user_id)
    if person is None:
        person = Person(user_id, f"Person {user_id}", language_code="en")
        sandbox.store.people.save(person)
        sandbox.chats.open(user_id)
    return person


def _set_blocked(sandbox: "Sandbox", user_id: int, *, is_blocked: bool) -> dict[str, Any]:
    person = find_person(sandbox, user_id)
    if person.blocked == is_blocked:
        return {"update_id": None}
    person.blocked = is_blocked
    # Who unblocks a bot has it in their list of chats: it may write.
    person.started = True
    sandbox.store.people.save(person)
    chat = sandbox.chats.open(user_id)
    sandbox.chats.touch(chat)
    states = [
        {"user": sandbox.chats.bot, "status": "member"},
        {"user": sandbox.chats.bot, "status": "kicked", "until_date": 0},
    ]
    old, new = states if is_blocked else reversed(states)
    told = {
        "chat": person.chat(),
        "from": person.user(),
        "date": int(time.time()),
        "old_chat_member": old,
        "new_chat_member": new,
    }
    return {"update_id": sandbox.updates.add("my_chat_member", told, user_id)}


ACTIONS: dict[str, Action] = {"user": user, "block": block, "unblock": unblock}
