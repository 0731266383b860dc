"""What the bot says of itself: commands, names, the menu button."""

import pytest

from tests.sandbox.telegram.driving import PlainBot
from tests.servers import TelegramServer


def commands(*names: str) -> list[dict[str, str]]:
    return [{"command": name, "description": f"does {name}"} for name in names]


def test_commands_are_shown_by_scope_and_language(bot: PlainBot, alice: int, server: TelegramServer) -> None:
    ivan = server.act("user", first_name="Иван", language_code="ru")["id"]
    server.act("message", user_id=ivan, text="/start")
    bot.ok("setMyCommands", commands=commands("start"))
    assert server.chat(alice)["commands"] == commands("start")
    private = {"type": "all_private_chats"}
    bot.ok("setMyCommands", commands=commands("edit", "balance"), scope=private)
    bot.ok("setMyCommands", commands=commands("pravka"), scope=private, language_code="ru")
    assert server.chat(alice)["commands"] == commands("edit", "balance")
    assert server.chat(ivan)["commands"] == commands("pravka")
    one = {"type": "chat", "chat_id": alice}
    bot.ok("setMyCommands", commands=commands("admin"), scope=one)
    assert server.chat(alice)["commands"] == commands("admin")
    assert bot.ok("getMyCommands") == commands("start")
    assert bot.ok("getMyCommands", scope=private, language_code="ru") == commands("pravka")
    assert bot.ok("getMyCommands", language_code="de") == []
    bot.ok("deleteMyCommands", scope=one)
    assert server.chat(alice)["commands"] == commands("edit", "balance")
    assert set(server.state()["commands"]) == {
        "default|", "all_private_chats|", "all_private_chats|ru",
    }  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"commands": [{"command": "Start", "description": "x"}]},
        {"commands": [{"command": "a" * 33, "description": "x"}]},
        {"commands": [{"command": "a-b", "description": "x"}]},
        {"commands": [{"command": "", "description": "x"}]},
        {"commands": [{"command": "a", "description": ""}]},
        {"commands": [{"command": "a", "description": "x" * 257}]},
        {"commands": commands("a") * 101},
        {"commands": commands("a"), "language_code": "english"},
        {"commands": commands("a"), "scope": {"type": "moon"}},
        {"commands": commands("a"), "scope": {"type": "chat", "chat_id": 404}},
        {"commands": "x"},
    ],
)
def test_commands_that_cannot_be(bot: PlainBot, given: dict) -> None:
    assert bot.refused("setMyCommands", **given).startswith("Bad Request: ")


@pytest.mark.parametrize(
    ("method", "name", "most"),
    [
        ("MyName", "name", 64),
        ("MyDescription", "description", 512),
        ("MyShortDescription", "short_description", 120),
    ],
)
def test_texts_about_the_bot(bot: PlainBot, method: str, name: str, most: int) -> None:
    assert bot.ok(f"set{method}", **{name: "Edits photos"})
    assert bot.ok(f"set{method}", **{name: "Правит фото"}, language_code="ru")
    assert bot.ok(f"get{method}") == {name: "Edits photos"}
    assert bot.ok(f"get{method}", language_code="ru") == {name: "Правит фото"}
    assert bot.ok(f"get{method}", language_code="de") == {name: "Edits photos"}
    assert bot.refused(f"set{method}", **{name: "x" * (most + 1)})


def test_the_menu_button(bot: PlainBot, alice: int) -> None:
    assert bot.ok("getChatMenuButton", chat_id=alice) == {"type": "commands"}
    app = {"type": "web_app", "text": "Open", "web_app": {"url": "https://example.com/app"}}
    bot.ok("setChatMenuButton", chat_id=alice, menu_button=app)
    assert bot.ok("getChatMenuButton", chat_id=alice) == app
    assert bot.ok("getChatMenuButton") == {"type": "commands"}
    plain = app | {"web_app": {"url": "http://example.com/app"}}
    assert "Only HTTPS links are allowed" in bot.refused("setChatMenuButton", menu_button=plain)


def test_who_is_who(bot: PlainBot, alice: int) -> None:
    assert bot.ok("getMe")["username"] == "qwenedit_bot"
    assert bot.ok("getChat", chat_id=alice)["active_usernames"] == ["alice"]
    assert bot.ok("getChatMember", chat_id=alice, user_id=alice)["user"]["first_name"] == "Alice"
    assert bot.ok("getUserProfilePhotos", user_id=alice) == {"total_count": 0, "photos": []}
    assert bot.refused("getUserProfilePhotos", user_id=404) == "Bad Request: user not found"
    assert bot.ok("logOut") is True
    assert bot.ok("close") is True
