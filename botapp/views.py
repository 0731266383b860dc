"""Telegram's way in by webhook: an update is kept, Telegram is told, and then it is answered."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from botapp import updates
from botapp.registration import webhook_secret

logger = structlog.get_logger(__name__)

LARGEST_UPDATE = 1024 * 1024
THREADS = 16
_answering = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="telegram-update")


@csrf_exempt
@require_POST
def telegram_update(request: HttpRequest) -> HttpResponse:
    """Take an update: 200 once it is kept, 403 without the secret, 400 for what is no update."""
    given = request.headers.get("X-Telegram-Bot-Api-Secret-Token", "")
    if not constant_time_compare(given, webhook_secret()):
        return HttpResponse(status=403)
    try:
        raw = json.loads(request.read(LARGEST_UPDATE))
    except ValueError:
        return HttpResponse(status=400)
    if not isinstance(raw, dict):
        return HttpResponse(status=400)
    chat_id = updates.keep(raw)
    if chat_id is not None:
        _answering.submit(take, chat_id)
    return HttpResponse(status=200)


def take(chat_id: int) -> None:
    """Answer a chat in a thread of its own; what it leaves undone is swept up later."""
    try:
        updates.take(chat_id)
    except Exception:
        logger.exception("A chat could not be answered", chat_id=chat_id)
    finally:
        close_old_connections()
