"""An update's way in: kept before Telegram is told of it, and answered in the order of its chat.

    webhook ─┐
             ├─▶ keep ──▶ row ──▶ take(chat): lease ──▶ the chat's open updates, oldest first ──▶ application
    polling ─┘                        ▲
                     sweep, for what a process left behind

A chat is taken by one thread of one process at a time, many chats at once. Processing is at least once: a
handler's deeds are named by the update, so that they happen once. Must not know what the bot says.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.utils import timezone
from telegram import Update
from telegram.error import BadRequest, Forbidden, RetryAfter, TelegramError

from botapp import application
from botapp.models import Chat, IncomingUpdate
from botapp.outbox import pace
from botapp.turn import Turn
from qwenedit import bot_api
from qwenedit.lib.compiled import Compiled, CompiledInsert, CompiledUpdate
from qwenedit.users.services import register_telegram_user

logger = structlog.get_logger(__name__)

ALLOWED = ["message", "callback_query", "pre_checkout_query", "my_chat_member"]
LEASE = timedelta(seconds=30)
# How long the process that kept an update has to take it, before the sweep does.
GRACE = timedelta(seconds=10)
PAUSES = tuple(timedelta(seconds=s) for s in (1, 3, 10, 30, 60))
MOST_TRIES = 6
KEPT = timedelta(days=8)  # Telegram repeats an update for a day, and draws new numbers after a quiet week
MOST_SWEPT = 200
PURGE_BATCH = 2_000
ASK_AGAIN = 0.05  # seconds
LONGEST_OUTCOME = 200
PRE_CHECKOUT_SECONDS = 10.0  # how long Telegram waits: https://core.telegram.org/bots/api#precheckoutquery


_insert = CompiledInsert(IncomingUpdate, once=True)
_two_oldest = Compiled(lambda chat: IncomingUpdate.objects.open().filter(chat_id=chat).order_by("id")[:2])
_chat = Compiled(lambda chat: Chat.objects.filter(pk=chat).select_related("user"))
_count_try = CompiledUpdate(
    lambda update: (IncomingUpdate.objects.filter(pk=update), {"tries": F("tries") + 1})
)
_end = CompiledUpdate(
    lambda update, now, outcome: (
        IncomingUpdate.objects.open().filter(pk=update),
        {"processed_at": now, "outcome": outcome, "body": {}},
    )
)
_take_lease = CompiledUpdate(
    lambda chat, token, now, until: (
        Chat.objects.filter(Q(lease_token__isnull=True) | Q(lease_until__lte=now), pk=chat),
        {"lease_token": token, "lease_until": until, "active_at": now},
    )
)
_give_back = CompiledUpdate(
    lambda chat, token: (
        Chat.objects.filter(pk=chat, lease_token=token),
        {"lease_token": None, "lease_until": None},
    )
)


def handle_update(raw: Mapping[str, Any]) -> None:
    """Keep an update and answer it, and whatever else its chat is owed."""
    chat_id = keep(raw)
    if chat_id is not None:
        take(chat_id)


def keep(raw: Mapping[str, Any]) -> int | None:
    """Store an update, once; return the chat that should be taken now, or None where there is nothing to do.

    Before a payment Telegram waits ten seconds for a yes or no: that is answered at once, here.
    """
    update_id = raw.get("update_id")
    chat_id = chat_id_of(raw)
    if not isinstance(update_id, int) or chat_id is None:
        return None
    if "pre_checkout_query" in raw:
        _answer_pre_checkout(raw)
        return None
    now = timezone.now()
    body = _storable(raw)
    row = IncomingUpdate(id=update_id, chat_id=chat_id, body=body, received_at=now, next_try_at=now + GRACE)
    try:
        if not _insert(row):
            logger.info("Update delivered again", update_id=update_id)
    except (DataError, OverflowError) as error:
        # Telegram would repeat it for a day, and hold back what follows.
        logger.exception("An update can not be kept", reason=str(error))
        return None
    return chat_id


def chat_id_of(raw: Mapping[str, Any]) -> int | None:
    """Return the chat whose order an update belongs to: of a button or a payment, that of whoever acted."""
    for kind in ALLOWED:
        content = raw.get(kind)
        if isinstance(content, Mapping):
            where = content.get("from") if kind in ("callback_query", "pre_checkout_query") else None
            where = where or content.get("chat")
            if isinstance(where, Mapping) and isinstance(where.get("id"), int):
                return int(where["id"])
    return None


def take(chat_id: int) -> None:
    """Answer the open updates of a chat, oldest first, unless somebody is at it: they find the newest too."""
    token = uuid.uuid4()
    while _lease(chat_id, token) or _meet(chat_id, token):
        try:
            _answer_open(chat_id, token)
        finally:
            _give_back(chat_id, token)
        # What came while the lease was given back found it taken.
        if not _open(chat_id):
            return


def with_chat(chat_id: int, action: Callable[[Turn], None], *, patience: float = 0.0) -> bool:
    """Do something of our own in a chat's order, then answer what came meanwhile.

    Returns False where somebody is still at the chat after `patience` seconds; then nothing was done.
    """
    token = uuid.uuid4()
    give_up_at = time.monotonic() + patience
    while not _lease(chat_id, token):
        if time.monotonic() >= give_up_at:
            return False
        time.sleep(ASK_AGAIN)
    try:
        chat = Chat.objects.select_related("user").get(pk=chat_id)
        # No update caused it: the action names its deeds itself.
        action(Turn(update=Update(update_id=0), chat=chat, user=chat.user))
    finally:
        _give_back(chat_id, token)
    take(chat_id)
    return True


def sweep(now: datetime) -> int:
    """Take the chats whose updates were left behind; return how many."""
    overdue = IncomingUpdate.objects.overdue(now).order_by("next_try_at")
    chats = list(dict.fromkeys(overdue.values_list("chat_id", flat=True)[:MOST_SWEPT]))
    for chat_id in chats:
        try:
            take(chat_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # one chat must not hold up the others
            logger.exception("A chat could not be answered", chat_id=chat_id)
    return len(chats)


def purge(now: datetime) -> int:
    """Forget updates that Telegram can not repeat any more; return how many."""
    old = IncomingUpdate.objects.filter(processed_at__isnull=False, received_at__lt=now - KEPT)
    purged = 0
    while batch := list(old.order_by("received_at").values_list("pk", flat=True)[:PURGE_BATCH]):
        purged += IncomingUpdate.objects.filter(pk__in=batch).delete()[0]
    return purged


def _answer_open(chat_id: int, token: uuid.UUID) -> None:
    rows = _open(chat_id)
    while rows:
        _process(rows[0])
        if len(rows) == 1:  # whoever takes the chat looks for what came meanwhile
            return
        rows = _open(chat_id)
        if rows and not _renew(chat_id, token):
            return


def _open(chat_id: int) -> list[IncomingUpdate]:
    """Return the two oldest open updates of a chat; none while the oldest waits: nothing overtakes it."""
    rows = _two_oldest(chat_id)
    return rows if rows and (rows[0].tries == 0 or rows[0].next_try_at <= timezone.now()) else []


def _meet(chat_id: int, token: uuid.UUID) -> bool:
    """Make the row of a chat, with its user, at its first update; tell whether the chat is ours to answer.

    An update of a chat that can have no row ends here.
    """
    if Chat.objects.filter(pk=chat_id).exists():
        return False
    while rows := _open(chat_id):
        update = _parsed(rows[0])
        if update is None:
            continue
        person = update.effective_user
        if chat_id < 0 or person is None or person.is_bot or person.id != chat_id:
            _without_a_chat(rows[0], update)
            continue
        user, _ = register_telegram_user(
            telegram_id=chat_id, first_name=person.first_name, language=person.language_code or ""
        )
        lease = {"lease_token": token, "lease_until": timezone.now() + LEASE}
        try:
            with transaction.atomic():
                Chat.objects.create(pk=chat_id, user=user, **lease)
        except IntegrityError:  # met at this very moment by another process
            return _lease(chat_id, token)
        return True
    return False


def _without_a_chat(row: IncomingUpdate, update: Update) -> None:
    if not _close(row, "from elsewhere"):  # nobody holds a lease here: whoever ends the update answers it
        return
    try:
        outcome = application.answer_elsewhere(update)
    except TelegramError as error:
        outcome = f"not answered: {error.message}"
    IncomingUpdate.objects.filter(pk=row.pk).update(outcome=outcome[:LONGEST_OUTCOME])


def _lease(chat_id: int, token: uuid.UUID) -> bool:
    now = timezone.now()
    return bool(_take_lease(chat_id, token, now, now + LEASE))


def _renew(chat_id: int, token: uuid.UUID) -> bool:
    return bool(Chat.objects.filter(pk=chat_id, lease_token=token).update(lease_until=timezone.now() + LEASE))


def _process(row: IncomingUpdate) -> None:
    # Counted first: an update that kills its process must not do so for ever.
    row.tries += 1
    _count_try(row.pk)
    if row.tries > MOST_TRIES:
        logger.error("Update given up", update_id=row.pk, chat_id=row.chat_id, tries=row.tries)
        _close(row, "given up")
        return
    with structlog.contextvars.bound_contextvars(update_id=row.pk, request_id=f"update-{row.pk}"):
        _answer(row)


def _answer(row: IncomingUpdate) -> None:
    update = _parsed(row)
    if update is None:
        return
    [chat] = _chat(row.chat_id)
    # The chat's row is younger than its first update alone.
    turn = Turn(update=update, chat=chat, user=chat.user, is_new=chat.created_at >= row.received_at)
    try:
        outcome = application.answer(turn)
    except RetryAfter as error:
        wait = bot_api.seconds_to_wait(error)
        pace.pause(wait, row.chat_id)  # the outbox too must leave Telegram alone
        _postpone(row, error, timedelta(seconds=wait))
    except Forbidden:
        Chat.objects.filter(pk=row.chat_id).update(gone_at=timezone.now())
        _close(row, "the person blocked the bot")
    except BadRequest as error:
        logger.warning("Answer refused by Telegram", reason=error.message, chat_id=row.chat_id)
        _close(row, f"refused: {error.message}")
    except TelegramError as error:
        _postpone(row, error, PAUSES[min(row.tries, len(PAUSES)) - 1])
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("Update failed by a mistake of ours", chat_id=row.chat_id)
        _close(row, f"failed: {type(error).__name__}")
        application.apologise(turn)
    else:
        _close(row, outcome)


def _postpone(row: IncomingUpdate, error: TelegramError, pause: timedelta) -> None:
    logger.warning("Update is answered later", reason=error.message, seconds=pause.total_seconds())
    IncomingUpdate.objects.filter(pk=row.pk).update(next_try_at=timezone.now() + pause)


def _close(row: IncomingUpdate, outcome: str) -> bool:
    """End an update, and tell whether it was open; what it said is not kept longer than it is needed."""
    return bool(_end(row.pk, timezone.now(), outcome[:LONGEST_OUTCOME]))


def _parsed(row: IncomingUpdate) -> Update | None:
    """Return the update; one that the library can not read, as of a newer Telegram, ends here."""
    try:
        # The Bot is not needed to read an update: answers go through `bot_api`.
        return Update.de_json(row.body, None)
    except Exception as error:
        logger.exception("Update can not be read", update_id=row.pk, chat_id=row.chat_id)
        _close(row, f"unreadable: {error}")
        return None


def _storable(value: Any) -> Any:
    """Return what Telegram sent without the characters that PostgreSQL can not keep."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {name: _storable(content) for name, content in value.items()}
    return [_storable(content) for content in value] if isinstance(value, list) else value


def _answer_pre_checkout(raw: Mapping[str, Any]) -> None:
    query = Update.de_json(dict(raw), None).pre_checkout_query
    if query is None:
        return
    query_id, refusal = query.id, application.pre_checkout(query)

    def log(error: BaseException) -> None:
        logger.warning("Pre-checkout not answered", reason=str(error))

    # Not waited for: whoever receives updates must not wait for one person's payment.
    bot_api.set_off(lambda bot: query_answer(bot, query_id, refusal), on_failure=log)


async def query_answer(bot: Any, query_id: str, refusal: str) -> bool:
    """Say yes to a payment, or no with the reason."""
    return bool(
        await bot.answer_pre_checkout_query(
            query_id, ok=not refusal, error_message=refusal or None, read_timeout=PRE_CHECKOUT_SECONDS
        )
    )
