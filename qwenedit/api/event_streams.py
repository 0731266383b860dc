"""A job's news as server-sent events: `GET /api/v1/jobs/{id}/events/`.

    retry: 2048

    id: 1
    event: status
    data: {"id":2,"status":"queued",…}       the same JSON as GET /api/v1/jobs/{id}/

The first event tells how things are, and the stream ends after a final one. A `status` event says that the
status is another, `progress` that anything else is. Between them the newest state counts: what a slow client
did not take in time is left out.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import ClassVar

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import get_script_prefix
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from jobs.models import Job
from qwenedit.api.hub import Hub
from qwenedit.api.snapshots import Snapshot, Topic, snapshot
from qwenedit.errors import DomainError

MEDIA_TYPE = "text/event-stream"

# Seconds.
KEEP_ALIVE_EVERY = 15.0
LONGEST_LIFE = 600.0  # then the client comes back and shows its key again
RECONNECT_AFTER = (1.0, 3.0)  # drawn for each stream, for after a restart all come back

LONGEST_EVENT_ID = 15  # digits

DESCRIPTION = """\
Server-sent events until the edit has ended, the first of them at once. `data` is the JSON of
`GET /jobs/{id}/`; an event is named `status` where the status is new, and `progress` where anything else is.
A stream also ends after ten minutes, and when the server restarts: connect again, unless the last status was
final."""
# Of each event, as OpenAPI describes a sequence: the fields are text, and the text of `data` is JSON.
EVENT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "A number, higher with every event."},
        "event": {"type": "string", "enum": ["status", "progress"]},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Job"},
        },
    },
    "required": ["id", "event", "data"],
}
LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    {"type": "string"},
    OpenApiParameter.HEADER,
    description="Sent by clients that come back: numbers of events go on from it. Nothing is repeated.",
)


class TooManyStreams(DomainError):
    """The user has as many open streams as one user may have."""

    code: ClassVar[str] = "rate_limited"
    status: ClassVar[int] = 429
    retryable: ClassVar[bool] = True


hub = Hub()


def answer(request: Request, job: Job) -> HttpResponseBase:
    """Answer with a job's events. Raises TooManyStreams."""
    topic = Topic(job.pk, request.build_absolute_uri(get_script_prefix()).rstrip("/"))
    first = snapshot(topic, job)
    events = Events(request.headers.get("Last-Event-ID", ""))
    beginning = events.beginning(first)
    # Without an event loop (WSGI) the stream ends at once, and clients come back for more.
    if first.is_final or request.method == "HEAD" or not isinstance(request._request, ASGIRequest):
        response: HttpResponseBase = HttpResponse(beginning, content_type=MEDIA_TYPE)
    elif hub.has_room(job.user_id):
        response = StreamingHttpResponse(
            stream(topic, job.user_id, first, beginning, events), content_type=MEDIA_TYPE
        )
    else:
        limit = settings.MAX_EVENT_STREAMS_PER_USER
        raise TooManyStreams(f"You have {limit} open event streams. Close one of them first.", limit=limit)
    response["X-Accel-Buffering"] = "no"
    return response


async def stream(
    topic: Topic, user_id: int, first: Snapshot, beginning: bytes, events: Events
) -> AsyncGenerator[bytes, None]:
    """Yield the beginning, then the news of the topic until the job has ended, or the stream has."""
    yield beginning
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + LONGEST_LIFE * random.uniform(0.9, 1.0)  # noqa: S311  (so that not all end at once)
    with hub.listening(topic, user_id=user_id, seen=first) as listener:
        while (left := ends_at - loop.time()) > 0:
            news = await listener.next(timeout=min(KEEP_ALIVE_EVERY, left))
            if listener.is_over:
                return
            yield events.event(news) if news else b": keep-alive\n\n"
            if news and news.is_final:
                return


class Events:
    """Numbers and names the events of one stream, going on from the client's Last-Event-ID."""

    def __init__(self, last_id: str) -> None:
        self._number = int(last_id) if last_id.isdecimal() and len(last_id) <= LONGEST_EVENT_ID else 0
        self._status = ""

    def beginning(self, snapshot: Snapshot) -> bytes:
        """Return the first event, and when to come back after a broken stream."""
        pause = random.uniform(*RECONNECT_AFTER)  # noqa: S311  (jitter, no secret)
        return b"retry: %d\n\n" % (1000 * pause) + self.event(snapshot)

    def event(self, snapshot: Snapshot) -> bytes:
        """Return the next event. JSON has no line breaks of its own."""
        name = b"progress" if snapshot.status == self._status else b"status"
        self._number, self._status = self._number + 1, snapshot.status
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self._number, name, snapshot.text)
