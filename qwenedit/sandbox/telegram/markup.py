"""Keyboards: inline ones below a message, and those in place of the phone's keyboard.

Owns: the rules of buttons, and their shapes for the bot and the chat page.
"""

from collections.abc import Iterator
from typing import Any

from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.html_mode import link_url

Markup = dict[str, Any]
Button = dict[str, Any]

MOST_BUTTONS = 100
LONGEST_DATA = 64
LONGEST_COPY = 256
STYLES = ("danger", "success", "primary")
REPLY_KINDS = ("keyboard", "remove_keyboard", "force_reply")
ACTIONS = (
    "url", "callback_data", "web_app", "login_url", "switch_inline_query", "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat", "copy_text", "callback_game", "pay",
)  # fmt: skip
INLINE = "can't parse inline keyboard button"
REPLY = "can't parse keyboard button"


def read_markup(value: Any, *, is_invoice: bool = False) -> Markup | None:
    """Return a checked reply markup of any kind, None if there is none; raise Refusal for a wrong one."""
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in value:
        return _inline(value["inline_keyboard"], is_invoice=is_invoice)
    if "keyboard" in value:
        return _reply(value)
    if "remove_keyboard" in value or "force_reply" in value:
        return dict(value)
    return None


def is_inline(markup: Markup | None) -> bool:
    """Whether a markup belongs to its message, rather than to the chat."""
    return markup is not None and "inline_keyboard" in markup


def buttons_of(markup: Markup | None) -> list[list[Button]]:
    """Return the rows of an inline keyboard as the chat page sees them."""
    return [[_shown(button) for button in row] for row in (markup or {}).get("inline_keyboard", [])]


def labels_of(markup: Markup | None) -> list[list[str]] | None:
    """Return the rows of a reply keyboard, None if there is none."""
    if not markup or "keyboard" not in markup:
        return None
    return [[button["text"] for button in row] for row in markup["keyboard"]]


def every_button(markup: Markup | None) -> Iterator[Button]:
    """Yield the buttons of an inline keyboard."""
    for row in (markup or {}).get("inline_keyboard", []):
        yield from row


def _inline(rows: Any, *, is_invoice: bool) -> Markup | None:
    checked = [
        [_inline_button(button, may_pay=is_invoice and (row, column) == (0, 0)) for column, button in line]
        for row, line in _rows(rows, "inline keyboard")
    ]
    keyboard = [row for row in checked if row]
    if sum(map(len, keyboard)) > MOST_BUTTONS:
        raise bad_request("reply markup is too long")
    return {"inline_keyboard": keyboard} if keyboard else None


def _rows(rows: Any, name: str) -> Iterator[tuple[int, Iterator[tuple[int, Any]]]]:
    if not isinstance(rows, list):
        raise bad_request(f'field "{name.replace(" ", "_")}" of the ReplyMarkup must be an Array of Arrays')
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise bad_request(
                f'field "{name.replace(" ", "_")}" of the ReplyMarkup must be an Array of Arrays'
            )
        yield number, enumerate(row)


def _inline_button(button: Any, *, may_pay: bool) -> Button:
    if not isinstance(button, dict):
        raise bad_request(f"{INLINE}: InlineKeyboardButton must be an Object")
    _check_text_and_style(button, INLINE)
    present = [name for name in ACTIONS if button.get(name) not in (None, "", False)]
    if button.get("callback_data") == "" and not present:
        raise bad_request(f"{INLINE}: Text buttons are unallowed in the inline keyboard")
    if not present:
        if button.get("switch_inline_query") == "" or button.get("switch_inline_query_current_chat") == "":
            return dict(button)
        raise bad_request(f"{INLINE}: Text buttons are unallowed in the inline keyboard")
    action = present[0]
    value = button[action]
    match action:
        case "url":
            return button | {"url": _checked_url(str(value))}
        case "callback_data":
            if not isinstance(value, str):
                raise bad_request(f'{INLINE}: Field "callback_data" must be of type String')
            if len(value.encode()) > LONGEST_DATA:
                raise bad_request("BUTTON_DATA_INVALID")
        case "web_app" | "login_url":
            if not isinstance(value, dict) or not str(value.get("url", "")).startswith("https://"):
                address = value.get("url", "") if isinstance(value, dict) else ""
                raise bad_request(
                    f"inline keyboard button Web App URL '{address}' is invalid: Only HTTPS links are allowed"
                )
        case "copy_text":
            text = str(value.get("text", "")) if isinstance(value, dict) else ""
            if not 1 <= len(text) <= LONGEST_COPY:
                raise bad_request("BUTTON_COPY_TEXT_INVALID")
            return button | {"copy_text": {"text": text}}
        case "pay" if not may_pay:
            raise bad_request("BUTTON_TYPE_INVALID")
        case "callback_game":
            raise bad_request("BUTTON_TYPE_INVALID")
    return dict(button)


def _reply(value: Markup) -> Markup:
    keyboard = []
    for _, row in _rows(value["keyboard"], "keyboard"):
        line = []
        for _, button in row:
            button = {"text": button} if isinstance(button, str) else button
            if not isinstance(button, dict):
                raise bad_request(f"{REPLY}: KeyboardButton must be an Object")
            _check_text_and_style(button, REPLY)
            line.append(dict(button))
        if line:
            keyboard.append(line)
    if not keyboard:
        raise bad_request("keyboard must be non-empty")
    return value | {"keyboard": keyboard}


def _check_text_and_style(button: Button, where: str) -> None:
    text = button.get("text")
    if text is None:
        raise bad_request(f'{where}: Can\'t find field "text"')
    if not isinstance(text, str):
        raise bad_request(f'{where}: Field "text" must be of type String')
    if not text.strip():
        raise bad_request("button text must be non-empty")
    if button.get("style") is not None and button["style"] not in STYLES:
        raise bad_request(f"{where}: Unsupported button style specified")


def _checked_url(address: str) -> str:
    if "://" in address and not address.lower().startswith(("http://", "https://", "tg://", "ton://")):
        raise bad_request(f"inline keyboard button URL '{address}' is invalid: Unsupported URL protocol")
    url = link_url(address)
    if not url or url.startswith("mailto:"):
        raise bad_request(f"inline keyboard button URL '{address}' is invalid: Wrong HTTP URL")
    return url


def _shown(button: Button) -> Button:
    shown = {"label": button["text"]}
    names = {"callback_data": "data", "url": "url", "pay": "pay", "style": "style"}
    shown |= {names[name]: button[name] for name in names if button.get(name) is not None}
    if "copy_text" in button:
        shown["copy_text"] = button["copy_text"]["text"]
    if "web_app" in button:
        shown["web_app"] = button["web_app"]["url"]
    return shown
