"""What the methods share: which chat, which message, and what comes along with a new one."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.chats import BOT
from qwenedit.sandbox.telegram.entities import FormattedText
from qwenedit.sandbox.telegram.errors import bad_request, forbidden
from qwenedit.sandbox.telegram.formatting import formatted_caption, formatted_text
from qwenedit.sandbox.telegram.markup import Markup, is_inline, read_markup
from qwenedit.sandbox.telegram.parameters import Parameters, as_integer
from qwenedit.sandbox.telegram.records import Chat, Message

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

Method = Callable[["Sandbox", Parameters], Awaitable[Any]]


@dataclass(frozen=True)
class Said:
    """A result with words of its own."""

    result: Any
    description: str


@dataclass(frozen=True)
class Along:
    """What comes with a new message besides its content."""

    markup: Markup | None
    reply_to: Message | None
    extras: dict[str, Any]


def find_chat(sandbox: "Sandbox", given: Parameters, *, name: str = "chat_id") -> Chat:
    """Return the chat of a call; raise Refusal if the bot cannot know it."""
    text = given.text(name).strip()
    if not text:
        raise bad_request("chat_id is empty")
    try:
        number = int(text)
    except ValueError:
        raise bad_request("chat not found") from None
    chat = sandbox.chats.chat(number)
    person = sandbox.chats.person(number)
    if chat is None or (chat.is_private and (person is None or not person.started)):
        raise bad_request("chat not found")
    return chat


def find_writable_chat(sandbox: "Sandbox", given: Parameters) -> Chat:
    """Return the chat a call writes to; raise Refusal if the person has blocked the bot."""
    chat = find_chat(sandbox, given)
    person = sandbox.chats.person(chat.id) if chat.is_private else None
    if person is not None and person.blocked:
        raise forbidden("bot was blocked by the user")
    return chat


def find_message(sandbox: "Sandbox", chat: Chat, message_id: int, missing: str) -> Message:
    """Return a message of a chat; `missing` is the refusal if there is none."""
    message = sandbox.chats.message(chat.id, message_id)
    if message is None:
        raise bad_request(missing)
    return message


def find_own_message(sandbox: "Sandbox", given: Parameters) -> Message:
    """Return the bot's message that a call edits."""
    if not given.text("chat_id") and given.text("inline_message_id"):
        raise bad_request("MESSAGE_ID_INVALID")
    chat = find_chat(sandbox, given)
    if not given.text("message_id"):
        raise bad_request("message identifier is not specified")
    message = find_message(sandbox, chat, given.integer("message_id"), "message to edit not found")
    if message.author != BOT:
        raise bad_request("message can't be edited")
    return message


def read_along(sandbox: "Sandbox", given: Parameters, chat: Chat, *, is_invoice: bool = False) -> Along:
    """Return keyboard, reply and flags of a new message."""
    markup = read_markup(given.json("reply_markup", "reply keyboard markup"), is_invoice=is_invoice)
    extras: dict[str, Any] = {}
    if given.flag("protect_content"):
        extras["has_protected_content"] = True
    if effect := given.text("message_effect_id"):
        extras["effect_id"] = effect
    return Along(markup, _reply(sandbox, given, chat), extras)


def post(
    sandbox: "Sandbox",
    chat: Chat,
    content: dict[str, Any],
    along: Along,
    *,
    kind: str = "",
    invoice: dict[str, Any] | None = None,
) -> Message:
    """Put a message of the bot into a chat."""
    markup = along.markup
    inline = {"reply_markup": markup} if is_inline(markup) else {}
    if markup is not None and "keyboard" in markup:
        chat.keyboard = markup
    elif markup is not None and markup.get("remove_keyboard"):
        chat.keyboard = None
    return sandbox.chats.post(
        chat, BOT, content | along.extras | inline, kind=kind, reply_to=along.reply_to, invoice=invoice
    )


def text_content(formatted: FormattedText) -> dict[str, Any]:
    """Return the fields of a text."""
    return {"text": formatted.text} | ({"entities": formatted.entities} if formatted.entities else {})


def caption_content(formatted: FormattedText) -> dict[str, Any]:
    """Return the fields of a caption."""
    fields: dict[str, Any] = {"caption": formatted.text} if formatted.text else {}
    return fields | ({"caption_entities": formatted.entities} if formatted.entities else {})


def read_text(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Return the fields of the text of a call."""
    entities = given.json("entities", "message entities")
    formatted = formatted_text(given.text("text"), given.text("parse_mode"), entities)
    return text_content(with_people(sandbox, formatted)) | _link_preview(given)


def read_caption(sandbox: "Sandbox", given: Parameters) -> dict[str, Any]:
    """Return the fields of the caption of a call."""
    entities = given.json("caption_entities", "caption entities")
    formatted = formatted_caption(given.text("caption"), given.text("parse_mode"), entities)
    above = {"show_caption_above_media": True} if given.flag("show_caption_above_media") else {}
    return caption_content(with_people(sandbox, formatted)) | above


def with_people(sandbox: "Sandbox", formatted: FormattedText) -> FormattedText:
    """Return a text whose mentions name people; as in Telegram, those of strangers are dropped."""
    entities = []
    for entity in formatted.entities:
        if entity["type"] == "text_mention":
            user = entity.get("user")
            person = sandbox.chats.person(as_integer(user.get("id")) if isinstance(user, dict) else 0)
            if person is None:
                continue
            entity = entity | {"user": person.user()}
        entities.append(entity)
    return FormattedText(formatted.text, entities)


def read_inline_markup(given: Parameters, *, is_invoice: bool = False) -> Markup | None:
    """Return the inline keyboard of an edit; raise Refusal for one of another kind."""
    markup = read_markup(given.json("reply_markup", "reply keyboard markup"), is_invoice=is_invoice)
    if markup is not None and not is_inline(markup):
        raise bad_request("inline keyboard expected")
    return markup


def _link_preview(given: Parameters) -> dict[str, Any]:
    options = given.json("link_preview_options", "link preview options")
    if not isinstance(options, dict):
        options = {"is_disabled": True} if given.flag("disable_web_page_preview") else {}
    return {"link_preview_options": options} if options else {}


def _reply(sandbox: "Sandbox", given: Parameters, chat: Chat) -> Message | None:
    wanted = given.json("reply_parameters", "reply parameters") or {}
    if not isinstance(wanted, dict):
        raise bad_request("object expected as reply parameters")
    message_id = wanted.get("message_id") or given.integer("reply_to_message_id")
    if not message_id:
        return None
    place = wanted.get("chat_id", chat.id)
    message = sandbox.chats.message(as_integer(place), as_integer(message_id))
    if message is None and not (
        wanted.get("allow_sending_without_reply") or given.flag("allow_sending_without_reply")
    ):
        raise bad_request("message to be replied not found")
    return message
