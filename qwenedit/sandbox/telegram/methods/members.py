"""Chats and those in them."""

from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.methods.common import Method, find_chat
from qwenedit.sandbox.telegram.parameters import Parameters

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

ACCENT_COLOR = 3
MOST_REACTIONS = 11


async def get_chat(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Return everything about a chat."""
    chat = find_chat(sandbox, given)
    body = sandbox.chats.chat_body(chat) | {
        "accent_color_id": ACCENT_COLOR,
        "max_reaction_count": MOST_REACTIONS,
        "accepted_gift_types": {
            "unlimited_gifts": False,
            "limited_gifts": False,
            "unique_gifts": False,
            "premium_subscription": False,
            "gifts_from_channels": False,
        },
    }
    if "username" in body:
        body["active_usernames"] = [body["username"]]
    pinned = sandbox.chats.message(chat.id, chat.pinned[-1]) if chat.pinned else None
    return body | ({"pinned_message": pinned.body} if pinned else {})


async def get_chat_member(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Return what somebody is in a chat."""
    chat = find_chat(sandbox, given)
    user_id = given.integer("user_id")
    if user_id == sandbox.chats.bot["id"]:
        return {"user": sandbox.chats.bot, "status": "member"}
    person = sandbox.chats.person(user_id)
    if person is None:
        raise bad_request("PARTICIPANT_ID_INVALID")
    is_member = user_id == chat.id or user_id in chat.members
    return {"user": person.user(), "status": "member" if is_member else "left"}


async def get_user_profile_photos(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Return the pictures of somebody's profile: nobody here has one."""
    if sandbox.chats.person(given.integer("user_id")) is None:
        raise bad_request("user not found")
    return {"total_count": 0, "photos": []}


METHODS: dict[str, Method] = {
    "getChat": get_chat,
    "getChatMember": get_chat_member,
    "getUserProfilePhotos": get_user_profile_photos,
}
