"""The HTTP of the people's side: /sandbox/… and the chat page.

Owns: reading these requests. What they do is in `act`, what they show in `views`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from qwenedit.sandbox.telegram.errors import Refusal
from qwenedit.sandbox.telegram.methods.payments import transactions
from qwenedit.sandbox.telegram.parameters import parse_json
from qwenedit.sandbox.telegram.routes import json_response
from qwenedit.sandbox.telegram.views import chat_view, transcript, user_view

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

STATIC = Path(__file__).parent / "static"
LONGEST_WAIT = 60.0
# Shown in the page; anything else is handed over as a download, so that no file of a bot runs as a page.
SHOWN = frozenset(
    ("image/jpeg", "image/png", "image/webp", "image/gif", "video/mp4", "audio/ogg", "audio/mpeg")
)


class ClientRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    def register(self, app: web.Application) -> None:
        """Add the paths."""
        app.router.add_post("/sandbox/act", self._act)
        app.router.add_get("/sandbox/faults", self._show_faults)
        app.router.add_post("/sandbox/faults", self._change_faults)
        app.router.add_get("/sandbox/limits", self._show_limits)
        app.router.add_post("/sandbox/limits", self._change_limits)
        app.router.add_get("/sandbox/chats", self._chats)
        app.router.add_get(r"/sandbox/chats/{chat_id:-?\d+}", self._chat)
        app.router.add_get("/sandbox/files/{file_id}", self._file)
        app.router.add_get("/sandbox/calls", self._calls)
        app.router.add_get("/sandbox/state", self._state)
        app.router.add_get("/", self._page)
        app.router.add_static("/static/", STATIC)

    async def _act(self, request: web.Request) -> web.Response:
        try:
            return json_response(await self._sandbox.actions.perform(await _object(request)))
        except Refusal as refusal:
            return _error(refusal.description)
        except ValueError as error:
            return _error(str(error))

    async def _show_faults(self, request: web.Request) -> web.Response:
        return json_response({"plan": self._sandbox.faults.state()})

    async def _change_faults(self, request: web.Request) -> web.Response:
        def change(values: dict[str, Any]) -> None:
            if values.pop("clear", False):
                self._sandbox.faults.clear()
            if values:
                self._sandbox.faults.add(values)

        return await _changed(request, change, lambda: {"plan": self._sandbox.faults.state()})

    async def _show_limits(self, request: web.Request) -> web.Response:
        return json_response(self._sandbox.limits.state())

    async def _change_limits(self, request: web.Request) -> web.Response:
        return await _changed(request, self._sandbox.limits.change, self._sandbox.limits.state)

    async def _chats(self, request: web.Request) -> web.Response:
        sandbox = self._sandbox
        users = []
        for person in sandbox.store.people.rows.values():
            chat = sandbox.chats.chat(person.id)
            users.append(user_view(person, chat.event if chat else 0))
        return json_response({"bot": sandbox.chats.bot, "users": users, "events": sandbox.chats.events})

    async def _chat(self, request: web.Request) -> web.Response:
        sandbox = self._sandbox
        chat_id = int(request.match_info["chat_id"])
        if sandbox.chats.chat(chat_id) is None:
            return _error(f"there is no chat {chat_id}", 404)
        if request.query.get("format") == "text":
            return web.Response(text=transcript(sandbox, chat_id))
        after, wait = _number(request, "after"), _number(request, "wait")
        if after is not None and wait is not None:
            chat = sandbox.chats.chat(chat_id)
            if chat is not None and chat.event <= after:
                await sandbox.chats.change(chat_id, min(max(0.0, wait), LONGEST_WAIT))
        return json_response(chat_view(sandbox, chat_id))

    async def _file(self, request: web.Request) -> web.Response:
        stored = self._sandbox.store.files.get(request.match_info["file_id"])
        if stored is None:
            return _error("there is no such file", 404)
        headers = {
            "Cache-Control": "private, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        content_type = stored.mime_type
        if content_type not in SHOWN:
            content_type = "application/octet-stream"
            headers["Content-Disposition"] = (
                f"attachment; filename*=UTF-8''{quote(stored.name or 'file', safe='')}"
            )
        body = await self._sandbox.files.read(stored)
        return web.Response(body=body, content_type=content_type, headers=headers)

    async def _calls(self, request: web.Request) -> web.Response:
        found = self._sandbox.journal.select(
            method=request.query.get("method", ""),
            since=int(_number(request, "since") or 0),
            chat_id=request.query.get("chat_id", ""),
        )
        return json_response(list(found))

    async def _state(self, request: web.Request) -> web.Response:
        sandbox = self._sandbox
        destination = sandbox.webhook.destination
        return json_response(
            {
                "webhook": {
                    "url": destination.url,
                    "secret": bool(destination.secret),
                    "max_connections": destination.max_connections,
                    "pending_update_count": len(sandbox.updates.pending),
                    **sandbox.webhook.last_error(),
                },
                "allowed_updates": sandbox.updates.allowed,
                "queue": len(sandbox.updates.pending),
                "commands": sandbox.store.setting("commands", {}),
                "stars": transactions(sandbox),
                "faults": sandbox.faults.state(),
                "limits": sandbox.limits.state(),
                "events": sandbox.chats.events,
            }
        )

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def _object(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        # A page of another origin cannot send this type without being allowed to.
        raise ValueError("the Content-Type must be application/json")
    value = parse_json(await request.text())
    if not isinstance(value, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - answered as 400
    return value


async def _changed(
    request: web.Request, change: Callable[[dict[str, Any]], None], state: Callable[[], dict[str, Any]]
) -> web.Response:
    try:
        change(await _object(request))
    except ValueError as error:
        return _error(str(error))
    return json_response(state())


def _number(request: web.Request, name: str) -> float | None:
    try:
        value = float(request.query[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _error(text: str, status: int = 400) -> web.Response:
    return json_response({"error": text}, status)
