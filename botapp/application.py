"""Every handler, wired on one screen: which command, button, step or kind of message goes where.

A handler takes a Turn and answers it. What is refused before any handler runs stands here as well: blocked
people, floods, groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import structlog
from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import RedisError
from telegram import Message, MessageEntity, PreCheckoutQuery, Update
from telegram.error import BadRequest, TelegramError

from botapp.handlers import (
    articles,
    data,
    friends,
    history,
    menu,
    orders,
    photos,
    presets,
    profile,
    promo,
    prompts,
    results,
    stars,
    start,
    topup,
    unreadable,
)
from botapp.models import Chat
from botapp.texts import Texts
from botapp.turn import Turn
from qwenedit import bot_api, rate_limits
from qwenedit.errors import DomainError
from qwenedit.logs import report

logger = structlog.get_logger(__name__)

Handler = Callable[[Turn], None]

COMMANDS: dict[str, Handler] = {
    "start": start.start,
    "menu": menu.main,
    "edit": photos.how_to_begin,
    "presets": presets.categories,
    "balance": profile.balance,
    "topup": topup.packages,
    "promo": promo.ask,
    "history": history.edits,
    "invite": friends.invite,
    "language": profile.languages,
    "help": menu.help_,
    "terms": menu.terms,
    "paysupport": menu.pay_support,
    "privacy": menu.privacy,
    "deletemydata": data.ask,
    "cancel": menu.cancel,
}

# A button carries `name:argument:…`; the handler finds the rest in `turn.argument`.
BUTTONS: dict[str, Handler] = {
    "menu": menu.main,
    "help": menu.help_,
    "close": menu.close,
    # from a photo or a wish to an order
    "cat": presets.category,
    "preset": presets.chosen,
    "own": prompts.ask,
    "go": orders.confirm,
    "words": orders.by_words,
    "drop": orders.drop,
    "redo": photos.start_over,
    "resume": photos.resume,
    "stop": orders.cancel,
    # below a result
    "again": results.again,
    "further": results.further,
    "style": results.another_style,
    "file": results.original_file,
    "fav": results.favourite,
    "up": results.thumb_up,
    "down": results.thumb_down,
    "show": results.show,
    # the person's own things
    "profile": profile.show,
    "lang": profile.languages,
    "setlang": profile.set_language,
    "topup": topup.packages,
    "amount": topup.ask_amount,
    "pay": topup.choose_method,
    "with": topup.start_payment,
    "check": topup.check,
    "stars": stars.send_invoice,
    "promo": promo.ask,
    "moneylog": history.payments,
    "edits": history.edits,
    "favs": history.favourites,
    "invite": friends.invite,
    "forget": data.ask,
    "forgetyes": data.delete,
    "kb": articles.shelf,
    "article": articles.read,
}

# What a text means while something is waited for.
STEPS: dict[str, Handler] = {
    "prompt": prompts.typed,
    "amount": topup.amount_typed,
    "email": topup.email_typed,
    "promo": promo.typed,
}

COMMAND = re.compile(r"/(?P<name>\w{1,32})(?:@(?P<bot>\w+))?")
BLOCKED_NOTICE_SECONDS = 3600
GROUP_NOTICE_SECONDS = 60


def answer(turn: Turn) -> str:
    """Answer an update of a private chat; return the name of what it was answered with."""
    membership = turn.update.my_chat_member
    if membership is not None:
        is_gone = membership.new_chat_member.status in ("kicked", "left")
        Chat.objects.filter(pk=turn.chat.pk).update(gone_at=timezone.now() if is_gone else None)
        return "blocked the bot" if is_gone else "came back"
    refusal = _refused(turn)
    if refusal:
        return refusal
    if turn.chat.gone_at is not None:  # who writes can be reached
        Chat.objects.filter(pk=turn.chat.pk).update(gone_at=None)
    if turn.chat.expires_at is not None and turn.chat.expires_at <= timezone.now():
        turn.forget()
    handler = _handler(turn)
    if handler is None:
        return "nothing to answer"
    try:
        handler(turn)
    except DomainError as error:
        turn.acknowledge()
        explain(turn, error)
        return f"{_name(handler)}: {error.code}"
    turn.acknowledge()
    return _name(handler)


def answer_elsewhere(update: Update) -> str:
    """Answer an update that comes from no private chat: a command in a group is told where the bot works."""
    message = update.message
    if message is None or message.chat.type not in ("group", "supergroup"):
        return "not from a private chat"
    if _command(message) is None:
        return "said in a group"
    if not _first_time(f"bot:group:{message.chat.id}", GROUP_NOTICE_SECONDS):
        return "told a moment ago"
    person = message.from_user
    texts = Texts((person.language_code if person else None) or "")
    text = texts("menu.only_private", bot=bot_api.identity().username or "")
    bot_api.call(lambda bot: bot.send_message(message.chat.id, text, parse_mode="HTML"))
    return "told that it works in private"


def pre_checkout(query: PreCheckoutQuery) -> str:
    """Return why a payment in Stars must not be made, or nothing."""
    return stars.refusal(query)


def explain(turn: Turn, error: DomainError) -> None:
    """Tell the person of an expected refusal, in their language where there are words for it."""
    key = f"errors.{error.code}"
    values = {name: value for name, value in error.extra.items() if isinstance(value, (str, int))}
    with suppress(KeyError):
        turn.say(turn.texts(key, **values), menu.to_menu(turn))
        return
    turn.say(turn.texts("errors.other", reason=error.message), menu.to_menu(turn))


def apologise(turn: Turn) -> None:
    """Say that something went wrong on our side; by now nothing more can be done about it."""
    with suppress(TelegramError):
        turn.acknowledge()
        turn.say(turn.texts("errors.ours"), menu.to_menu(turn))


def _handler(turn: Turn) -> Handler | None:
    query = turn.update.callback_query
    if query is not None:
        if turn.message is not None and turn.message.chat.id != turn.chat.pk:
            return menu.outdated  # below a message of somebody else's chat
        name, _, turn.argument = (query.data or "").partition(":")
        return BUTTONS.get(name, menu.outdated)
    message = turn.update.message
    if message is None:  # an edited message, and whatever is new at Telegram
        return None
    return _of_message(turn, message)


def _of_message(turn: Turn, message: Message) -> Handler | None:
    if message.successful_payment:
        return stars.paid
    if message.refunded_payment:
        return stars.refunded
    command = _command(message)
    if command is not None:
        turn.argument = "".join((message.text or "").split(maxsplit=1)[1:]).strip()
        return COMMANDS.get(command, menu.unknown_command)
    # Of an album nothing is answered by itself: what it holds beside photos is told together with them.
    if message.photo or message.media_group_id or (message.document and not message.animation):
        return photos.received
    if message.text:
        return STEPS.get(turn.chat.step, prompts.typed)
    return unreadable.refuse if unreadable.is_somebodys_words(message) else None


def _command(message: Message) -> str | None:
    """Return the command a message begins with, unless it is for another bot."""
    first = message.entities[0] if message.entities else None
    if first is None or first.type != MessageEntity.BOT_COMMAND or first.offset != 0:
        return None
    found = COMMAND.match(message.text or "")
    if found is None:
        return None
    if found["bot"] and found["bot"].lower() != (bot_api.identity().username or "").lower():
        return None
    return found["name"].lower()


def _refused(turn: Turn) -> str:
    """Refuse whoever may not be served now: once, politely; return the reason, or nothing."""
    message = turn.update.message
    if message is not None and (message.successful_payment or message.refunded_payment):
        return ""  # money is never too fast, nor to be lost with whoever was blocked
    if turn.user.is_blocked or not turn.user.is_active:
        if _first_time(f"bot:blocked:{turn.user.pk}", BLOCKED_NOTICE_SECONDS):
            turn.say(turn.texts("errors.blocked") + menu.support(turn))
        turn.acknowledge()
        return "blocked"
    try:
        wait = rate_limits.count(rate_limits.BOT, f"user:{turn.user.pk}").wait
    except rate_limits.LimitsUnavailable:
        return ""  # better to answer too much than nobody
    if wait:
        if _first_time(f"bot:slowed:{turn.user.pk}", wait):
            report(
                logger,
                rate_limits.BOT.sentence,
                {"user_id": turn.user.pk, "retry_after": wait},
                level="warning",
            )
            turn.say(turn.texts("errors.too_fast", count=wait))
        with suppress(BadRequest):
            turn.acknowledge()
        return "too fast"
    return ""


def _first_time(key: str, seconds: int) -> bool:
    try:
        return bool(cache.add(key, 1, timeout=seconds))
    except RedisError:
        return False


def _name(handler: Handler) -> str:
    return f"{handler.__module__.rpartition('.')[2]}.{handler.__name__}"
