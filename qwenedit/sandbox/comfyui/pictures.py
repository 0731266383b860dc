"""Pictures over HTTP: POST /upload/image and GET /view.

Owns: which parameters are refused with which status. Where names lead is known to `files`.
Files are written and pictures converted within the request, as ComfyUI does: meanwhile nobody else is served.
"""

import io
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from PIL import Image

from qwenedit.sandbox.comfyui.files import OutsideFolderError

if TYPE_CHECKING:
    from qwenedit.sandbox.comfyui.server import Sandbox

OVERWRITE = ("true", "1")
ACTIVE_CONTENT = (
    "text/html",
    "text/html-sandboxed",
    "application/xhtml+xml",
    "text/javascript",
    "text/css",
    "image/svg+xml",
)
PREVIEW_FORMATS = ("webp", "jpeg")
PREVIEW_QUALITY = 90


class PictureRoutes:
    """The handlers of one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def upload(self, request: web.Request) -> web.Response:
        """Store a file, whatever it is, and tell the name it got."""
        if self._sandbox.faults.now.refuse_uploads:
            raise web.HTTPInternalServerError
        form = await request.post()
        image = form.get("image")
        if image is None:
            return web.Response(status=400)
        # A field without a file name is text and fails below, as it does in ComfyUI.
        filename, content = image.filename, image.file  # type: ignore[union-attr]
        subfolder = str(form.get("subfolder", ""))
        kind = str(form.get("type", "input"))
        try:
            name = self._sandbox.resources.folders.store_upload(
                content, filename, subfolder, kind, overwrite=form.get("overwrite") in OVERWRITE
            )
        except OutsideFolderError:
            return web.Response(status=400)
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    async def view(self, request: web.Request) -> web.StreamResponse:
        """Serve a file of the input, output or temp folder, or a smaller version of a picture."""
        folders = self._sandbox.resources.folders
        if "filename" not in request.query:
            return web.Response(status=404)
        name, kind = folders.split_annotation(request.query["filename"])
        if not name or name.startswith("/") or ".." in name:
            return web.Response(status=400)
        try:
            folder = folders.subfolder(
                kind or request.query.get("type", "output"), request.query.get("subfolder", "")
            )
        except KeyError:
            return web.Response(status=400)
        except OutsideFolderError:
            return web.Response(status=403)
        path = folder / Path(name).name
        if not path.is_file():
            return web.Response(status=404)
        if "preview" in request.query:
            return _converted(path, _preview, request.query["preview"])
        if request.query.get("channel") in ("rgb", "a"):
            return _converted(path, _channel, request.query["channel"])
        return web.FileResponse(path, headers=_headers(path))


def _headers(path: Path) -> dict[str, str]:
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {
        "Content-Type": content_type,
        "Content-Disposition": f'filename="{path.name}"',
        "X-Content-Type-Options": "nosniff",
    }
    if content_type in ACTIVE_CONTENT:
        headers |= {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{path.name}"',
            "Vary": "Sec-Fetch-Dest",
            "Cache-Control": "no-store",
        }
    return headers


def _converted(path: Path, convert: Callable[[Path, str], tuple[bytes, str]], parameter: str) -> web.Response:
    body, content_type = convert(path, parameter)
    headers = {"Content-Disposition": f'filename="{path.name}"'}
    return web.Response(body=body, content_type=content_type, headers=headers)


def _preview(path: Path, parameter: str) -> tuple[bytes, str]:
    """Re-encode a picture; `parameter` is a format and, after a semicolon, a quality."""
    wanted, _, quality = parameter.partition(";")
    chosen = wanted if wanted in PREVIEW_FORMATS else PREVIEW_FORMATS[0]
    with Image.open(path) as picture:
        source = picture.convert("RGB") if chosen == "jpeg" else picture
        return _encode(source, chosen, quality=int(quality) if quality.isdigit() else PREVIEW_QUALITY)


def _channel(path: Path, parameter: str) -> tuple[bytes, str]:
    """Return the colours without transparency, or the transparency alone."""
    with Image.open(path) as picture:
        if parameter == "rgb":
            return _encode(picture.convert("RGB"), "png")
        alpha = picture.convert("RGBA").getchannel("A")
        empty = Image.new("RGBA", picture.size)
        empty.putalpha(alpha)
        return _encode(empty, "png")


def _encode(picture: Image.Image, kind: str, **options: int) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue(), f"image/{kind}"
