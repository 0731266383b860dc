"""What the bot says of itself: getMe, name, descriptions, commands, the menu button."""

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.methods.common import Method, find_chat
from qwenedit.sandbox.telegram.parameters import Parameters

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

Setter = Callable[["Sandbox", Parameters], Awaitable[bool]]
Getter = Callable[["Sandbox", Parameters], Awaitable[dict[str, Any]]]

COMMANDS = "commands"
MENU = "menu_button"
MOST_COMMANDS = 100
LONGEST_COMMAND_DESCRIPTION = 256
LANGUAGE = re.compile(r"[a-z]{2}|")
COMMAND = re.compile(r"/?([a-z0-9_]{1,32})")
SCOPES = ("default", "all_private_chats", "all_group_chats", "all_chat_administrators")
CHAT_SCOPES = ("chat", "chat_administrators", "chat_member")
MENU_TYPES = ("default", "commands", "web_app")
# Texts about the bot: method, parameter, most characters.
TEXTS = (
    ("MyName", "name", 64),
    ("MyDescription", "description", 512),
    ("MyShortDescription", "short_description", 120),
)


async def get_me(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Say who the bot is."""
    return sandbox.chats.bot | {
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": True,
        "can_connect_to_business": False,
        "has_main_web_app": False,
        "has_topics_enabled": False,
        "allows_users_to_create_topics": False,
        "can_manage_bots": False,
    }


async def log_out(sandbox: "Sandbox", given: Parameters) -> bool:
    """Leave the cloud server; nothing comes of it here."""
    return True


async def set_my_commands(sandbox: "Sandbox", given: Parameters) -> bool:
    """Set the list of commands of a scope and language."""
    commands = given.json("commands", "commands")
    if not isinstance(commands, list):
        raise bad_request("expected an Array of BotCommand")
    if len(commands) > MOST_COMMANDS:
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    place = _place(sandbox, given)
    lists: dict[str, Any] = dict(sandbox.store.setting(COMMANDS, {}))
    lists.pop(place, None)
    if commands:
        lists[place] = [_command(command) for command in commands]
    sandbox.store.set(COMMANDS, lists)
    return True


async def get_my_commands(sandbox: "Sandbox", given: Parameters) -> list[dict[str, str]]:
    """Return the list of commands of a scope and language."""
    lists: dict[str, list[dict[str, str]]] = sandbox.store.setting(COMMANDS, {})
    return lists.get(_place(sandbox, given), [])


async def delete_my_commands(sandbox: "Sandbox", given: Parameters) -> bool:
    """Delete the list of commands of a scope and language."""
    lists: dict[str, Any] = dict(sandbox.store.setting(COMMANDS, {}))
    lists.pop(_place(sandbox, given), None)
    sandbox.store.set(COMMANDS, lists)
    return True


async def set_chat_menu_button(sandbox: "Sandbox", given: Parameters) -> bool:
    """Set the menu button of one chat, or of all."""
    button = given.json("menu_button", "menu button") or {"type": "default"}
    if not isinstance(button, dict) or button.get("type") not in MENU_TYPES:
        raise bad_request("can't parse menu button: unsupported type specified")
    if button["type"] == "web_app":
        app = button.get("web_app")
        address = str(app.get("url", "")) if isinstance(app, dict) else ""
        if not button.get("text"):
            raise bad_request("can't parse menu button: text must be non-empty")
        if not address.startswith("https://"):
            raise bad_request(f"menu button Web App URL '{address}' is invalid: Only HTTPS links are allowed")
    buttons = dict(sandbox.store.setting(MENU, {}))
    buttons[_menu_place(sandbox, given)] = button
    sandbox.store.set(MENU, buttons)
    return True


async def get_chat_menu_button(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Return the menu button of a chat."""
    buttons: dict[str, Any] = sandbox.store.setting(MENU, {})
    place = _menu_place(sandbox, given)
    return buttons.get(place) or buttons.get("") or {"type": "commands"}


def commands_for(sandbox: "Sandbox", chat_id: int, language: str) -> list[dict[str, str]]:
    """Return the commands that a person sees: the narrowest scope first, their language before any."""
    lists: dict[str, list[dict[str, str]]] = sandbox.store.setting(COMMANDS, {})
    wide = "all_private_chats" if chat_id > 0 else "all_group_chats"
    for scope in (f"chat:{chat_id}", wide, "default"):
        for code in (language[:2], ""):
            if found := lists.get(f"{scope}|{code}"):
                return found
    return []


def _place(sandbox: "Sandbox", given: Parameters) -> str:
    language = given.text("language_code")
    if not LANGUAGE.fullmatch(language):
        raise bad_request("invalid language code specified")
    scope = given.json("scope", "BotCommandScope") or {"type": "default"}
    if not isinstance(scope, dict):
        raise bad_request("can't parse BotCommandScope: expected an Object")
    kind = scope.get("type")
    if kind in SCOPES:
        return f"{kind}|{language}"
    if kind not in CHAT_SCOPES:
        raise bad_request("can't parse BotCommandScope: unsupported type specified")
    chat = find_chat(sandbox, Parameters({"chat_id": scope.get("chat_id")}))
    member = f":{scope.get('user_id')}" if kind == "chat_member" else ""
    return f"{kind}:{chat.id}{member}|{language}"


def _command(command: Any) -> dict[str, str]:
    if not isinstance(command, dict):
        raise bad_request("can't parse BotCommand: expected an Object")
    name, description = str(command.get("command") or ""), str(command.get("description") or "").strip()
    if not name.removeprefix("/"):
        raise bad_request("command name must be non-empty")
    found = COMMAND.fullmatch(name)
    if found is None:
        raise bad_request("BOT_COMMAND_INVALID")
    if not description:
        raise bad_request("command description must be non-empty")
    if len(description) > LONGEST_COMMAND_DESCRIPTION:
        raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": found[1], "description": description}


def _menu_place(sandbox: "Sandbox", given: Parameters) -> str:
    return str(find_chat(sandbox, given).id) if given.text("chat_id") else ""


def _setter(setting: str, name: str, most: int) -> Setter:
    async def set_text(sandbox: "Sandbox", given: Parameters) -> bool:
        text, language = given.text(name), given.text("language_code")
        if not LANGUAGE.fullmatch(language):
            raise bad_request("invalid language code specified")
        if len(text) > most:
            raise bad_request(f"bot {name.replace('_', ' ')} is too long")
        sandbox.store.set(f"{setting}:{language}", text)
        return True

    return set_text


def _getter(setting: str, name: str) -> Getter:
    async def get_text(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
        default = sandbox.chats.bot["first_name"] if name == "name" else ""
        general = sandbox.store.setting(f"{setting}:") or default
        return {name: sandbox.store.setting(f"{setting}:{given.text('language_code')}") or general}

    return get_text


METHODS: dict[str, Method] = {
    "getMe": get_me,
    "logOut": log_out,
    "close": log_out,
    "setMyCommands": set_my_commands,
    "getMyCommands": get_my_commands,
    "deleteMyCommands": delete_my_commands,
    "setChatMenuButton": set_chat_menu_button,
    "getChatMenuButton": get_chat_menu_button,
    **{f"set{setting}": _setter(setting, name, most) for setting, name, most in TEXTS},
    **{f"get{setting}": _getter(setting, name) for setting, name, _ in TEXTS},
}
