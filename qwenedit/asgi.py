"""The ASGI application that uvicorn serves, and the life of the embedded Valkey around it."""

import os
import warnings
from typing import Any

import django

from qwenedit import embedded, settings
from qwenedit.celery import app as celery_app
from qwenedit.limits import BodyLimit, Handler

__all__ = ["application", "celery_app"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenedit.settings")
# Static files are small, and WhiteNoise gives them as plain iterators: reading them at once is right.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
embedded.ensure()
django.setup(set_prefix=False)
_django = BodyLimit(Handler(), max_bytes=settings.MAX_REQUEST_BYTES)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve HTTP by Django; on shutdown stop using the embedded Valkey.

    The server ends itself by the signal it was sent, so exit handlers do not run: this message is the last.
    """
    if scope["type"] != "lifespan":
        await _django(scope, receive, send)
        return
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            embedded.release()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
