"""Stored pictures as answers to staff. Who may see them is decided by the pages that call this."""

from __future__ import annotations

from mimetypes import guess_type

from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpResponse

from qwenedit.lib.containers import InvalidImage
from qwenedit.lib.images import thumbnail

THUMBNAIL_SIDE = 480  # twice what the pages show, for dense screens


def picture_response(file: FieldFile, *, small: bool) -> HttpResponse:
    """Return a picture, or its preview as JPEG. That nothing caches it is the doing of `admin_view`.

    Raises Http404 where the file is gone (it may be purged at any time) or is no picture.
    """
    try:
        with file.open("rb") as stored:
            data = stored.read()
        body = thumbnail(data, THUMBNAIL_SIDE) if small else data
    except (OSError, ValueError, InvalidImage) as error:  # ValueError: the field is empty
        raise Http404("The picture is not there.") from error
    kind = "image/jpeg" if small else guess_type(file.name or "")[0]
    return HttpResponse(
        body,
        content_type=kind if kind in {"image/jpeg", "image/png"} else "application/octet-stream",
        headers={"Content-Security-Policy": "default-src 'none'; sandbox"},
    )
