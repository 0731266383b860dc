"""Changes of the bot's own messages."""

from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.markup import Markup
from qwenedit.sandbox.telegram.methods.common import (
    Method,
    find_own_message,
    read_caption,
    read_inline_markup,
    read_text,
)
from qwenedit.sandbox.telegram.methods.media import EDIT_KINDS, read_media
from qwenedit.sandbox.telegram.parameters import Parameters
from qwenedit.sandbox.telegram.records import Message

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

MARKUP = "reply_markup"
TEXT = ("text", "entities", "link_preview_options")
CAPTION = ("caption", "caption_entities", "show_caption_above_media")
FILES = (*EDIT_KINDS, "voice", "has_media_spoiler")
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)


async def edit_message_text(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Change the text of a text message."""
    message = find_own_message(sandbox, given)
    content = read_text(sandbox, given)
    markup = read_inline_markup(given)
    if "text" not in message.body:
        raise bad_request("there is no text in the message to edit")
    return _edit(sandbox, message, content, markup, TEXT)


async def edit_message_caption(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Change the caption of a message with a file."""
    message = find_own_message(sandbox, given)
    caption = read_caption(sandbox, given)
    markup = read_inline_markup(given)
    if not any(name in message.body for name in FILES):
        raise bad_request("there is no caption in the message to edit")
    return _edit(sandbox, message, caption, markup, CAPTION)


async def edit_message_media(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Change the file of a message, or turn a text into one with a file."""
    message = find_own_message(sandbox, given)
    item = given.json("media", "media")
    if not isinstance(item, dict):
        raise bad_request(
            "input media is not specified" if item is None else "expected an Object as InputMedia"
        )
    if message.invoice is not None:
        raise bad_request("message can't be edited")
    markup = read_inline_markup(given)
    content = await read_media(sandbox, given, item, EDIT_KINDS)
    # A picture takes its time; the message may be gone by now.
    message = find_own_message(sandbox, given)
    return _edit(sandbox, message, content, markup, (*TEXT, *CAPTION, *FILES))


async def edit_message_reply_markup(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Change the inline keyboard of a message."""
    message = find_own_message(sandbox, given)
    markup = read_inline_markup(given, is_invoice=message.invoice is not None)
    return _edit(sandbox, message, {}, markup, ())


def _edit(
    sandbox: "Sandbox",
    message: Message,
    content: dict[str, Any],
    markup: Markup | None,
    fields: tuple[str, ...],
) -> dict[str, Any]:
    wanted = content | ({MARKUP: markup} if markup else {})
    present = {name: message.body[name] for name in (*fields, MARKUP) if name in message.body}
    if wanted == present:
        raise bad_request(NOT_MODIFIED)
    sandbox.chats.edit(message, wanted, *fields, MARKUP)
    return message.body


METHODS: dict[str, Method] = {
    "editMessageText": edit_message_text,
    "editMessageCaption": edit_message_caption,
    "editMessageMedia": edit_message_media,
    "editMessageReplyMarkup": edit_message_reply_markup,
}
