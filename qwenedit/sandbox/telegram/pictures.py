"""What Telegram does to a photo: JPEG, no metadata, several sizes.

Owns: Pillow. Its functions take and return bytes, and are meant for threads.
"""

import io
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

from qwenedit.sandbox.telegram.errors import bad_request

LONG_SIDES = (90, 320, 800, 1280)
LARGEST_SUM = 10_000
LARGEST_RATIO = 20
QUALITY = 87
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Photo:
    """A photo as Telegram keeps it: JPEG, long side 1280 at most."""

    data: bytes
    width: int
    height: int


def as_photo(data: bytes, *, is_upright: bool = False) -> Photo:
    """Return a picture as a photo; raise Refusal for what cannot be one."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_dimensions(*opened.size)
            # A JPEG of twice the size or more is decoded at a half: less work, the same photo.
            opened.draft("RGB", (LONG_SIDES[-1], LONG_SIDES[-1]))
            picture = ImageOps.exif_transpose(opened) if is_upright else opened
            picture = _flat(picture)
    except BROKEN:
        raise bad_request("IMAGE_PROCESS_FAILED") from None
    picture = _scaled(picture, *_fitting(*picture.size, LONG_SIDES[-1]))
    return Photo(_jpeg(picture), *picture.size)


def sizes(width: int, height: int) -> list[tuple[int, int]]:
    """Return the sizes that a photo of these dimensions comes in, smallest first."""
    bounds = [side for side in LONG_SIDES if side < max(width, height)]
    return [*(_fitting(width, height, side) for side in bounds), (width, height)]


def scaled(data: bytes, width: int, height: int) -> bytes:
    """Return a photo in another, smaller size."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", (width, height))
        return _jpeg(_scaled(opened.convert("RGB"), width, height))


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a picture, None for what is none."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return opened.size
    except BROKEN:
        return None


def _check_dimensions(width: int, height: int) -> None:
    if width + height > LARGEST_SUM or max(width, height) > LARGEST_RATIO * min(width, height):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")


def _fitting(width: int, height: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _flat(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert("RGB")


def _scaled(picture: Image.Image, width: int, height: int) -> Image.Image:
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
