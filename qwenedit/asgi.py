"""The ASGI application that uvicorn serves, and what lives as long as its process: streams and Valkey."""

import asyncio
import os
import resource
import signal
import threading
from types import FrameType
from typing import Any

import django

from qwenedit import embedded, settings
from qwenedit.celery import app as celery_app
from qwenedit.handler import Handler
from qwenedit.lib.garbage import pass_over_what_stays
from qwenedit.limits import BodyLimit

__all__ = ["application", "celery_app"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenedit.settings")
embedded.ensure()
django.setup(set_prefix=False)

from django.urls import get_resolver  # noqa: E402  (these need Django set up)

from jobs import policy  # noqa: E402
from qwenedit.api.event_streams import hub  # noqa: E402

# Else the first requests read them, one in each process, with people waiting.
get_resolver().url_patterns  # noqa: B018
policy.rules()
pass_over_what_stays()

MOST_FILES = 65_536  # each open stream is one

_django = BodyLimit(Handler(), max_bytes=settings.MAX_REQUEST_BYTES)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve HTTP by Django; on shutdown stop using the embedded Valkey.

    The server ends itself by the signal it was sent, so exit handlers do not run: this message is the last.
    It comes when all answers are given, which is too late for streams: they end with the signal.
    """
    if scope["type"] != "lifespan":
        await _django(scope, receive, send)
        return
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _allow_many_files()
            _end_streams_on_signals()
        if message["type"] == "lifespan.shutdown":
            embedded.release()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _allow_many_files() -> None:
    """Raise the usual limit of 1,024, as far as one may without asking anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end_streams_on_signals() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        handler = signal.getsignal(number)
        if not callable(handler):  # the server does not end by it
            continue

        def end(number: int, frame: FrameType | None, handler: Any = handler) -> None:
            loop.call_soon_threadsafe(hub.close)
            handler(number, frame)

        signal.signal(number, end)
