"""Albums: their pictures come in updates of their own, are kept, and answered together once no more follow.

    part ─▶ row ─▶ wake-up ─┐
    part ─▶ row ─▶ wake-up ─┴─▶ collect, in the chat's turn: one answer, rows deleted
                    sweep, for what a process left behind ──▶┘

Nothing is kept in memory: the parts of one album may reach different processes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import Max, QuerySet
from django.utils import timezone
from telegram.error import BadRequest, Forbidden, TelegramError

from botapp import application, updates
from botapp.handlers.photos import album_arrived
from botapp.models import AlbumPhoto, Chat
from botapp.turn import Turn
from botapp.wakeups import ALBUM_QUIET

logger = structlog.get_logger(__name__)

QUIET = timedelta(seconds=ALBUM_QUIET - 0.2)  # a wake-up may be a little early by another machine's clock
FORGOTTEN = timedelta(seconds=5)
GIVEN_UP = timedelta(minutes=10)
PATIENCE = 5.0  # seconds to wait for the chat's turn
MOST_SWEPT = 100


def collect(chat_id: int, media_group_id: str) -> bool:
    """Answer an album, if it is complete; return whether it was its time."""
    newest = _parts(chat_id, media_group_id).aggregate(at=Max("received_at"))["at"]
    if newest is None or newest > timezone.now() - QUIET:
        return False  # answered before, or its newest part has a wake-up of its own
    return updates.with_chat(chat_id, lambda turn: _answer(turn, media_group_id), patience=PATIENCE)


def sweep(now: datetime) -> int:
    """Answer albums whose wake-ups were lost; return how many."""
    groups = AlbumPhoto.objects.order_by().values("chat_id", "media_group_id")
    overdue = groups.annotate(newest=Max("received_at")).filter(newest__lte=now - FORGOTTEN)
    albums = list(overdue.values_list("chat_id", "media_group_id")[:MOST_SWEPT])
    return sum(collect(chat_id, group) for chat_id, group in albums)


def _answer(turn: Turn, media_group_id: str) -> None:
    parts = list(_parts(turn.chat.pk, media_group_id))
    if not parts:
        return  # answered while we waited for the turn
    key = f"album:{turn.chat.pk}:{media_group_id}"[:60]
    caption = next((part.caption for part in parts if part.caption), "")
    try:
        album_arrived(turn, [part.photo for part in parts], caption, key=key)
    except Forbidden:
        Chat.objects.filter(pk=turn.chat.pk).update(gone_at=timezone.now())
    except BadRequest as error:
        logger.warning("Answer to an album refused by Telegram", reason=error.message)
    except TelegramError as error:
        logger.warning("Album not answered", reason=error.message)
        if timezone.now() - parts[-1].received_at < GIVEN_UP:
            return  # the sweep tries again
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("Album failed by a mistake of ours")
        application.apologise(turn)
    AlbumPhoto.objects.filter(pk__in=[part.pk for part in parts]).delete()


def _parts(chat_id: int, media_group_id: str) -> QuerySet[AlbumPhoto]:
    return AlbumPhoto.objects.filter(chat_id=chat_id, media_group_id=media_group_id).order_by("message_id")
