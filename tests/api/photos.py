"""Pictures of every kind that people send, as files' bytes."""

from functools import cache
from io import BytesIO
from typing import Any

import pillow_heif
from PIL import Image, ImageDraw


def picture(mode: str = "RGB", size: tuple[int, int] = (96, 64), colour: Any = None) -> Image.Image:
    """Return a small picture with something on it."""
    image = Image.new(mode, size, colour or 0)
    if mode in ("RGB", "CMYK", "L", "RGBA"):
        ImageDraw.Draw(image).ellipse((10, 10, 50, 50), fill="white" if mode != "CMYK" else (0, 80, 80, 0))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the picture as a file of a kind that Pillow writes."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def jpeg(seed: int = 0) -> bytes:
    """Return a small photo; another `seed`, another photo."""
    return encoded(picture(colour=(seed % 256, 90, 160)), "JPEG")


def png() -> bytes:
    """Return a small PNG."""
    return encoded(picture(colour=(200, 90, 60)), "PNG")


def heic() -> bytes:
    """Return what an iPhone makes."""
    buffer = BytesIO()
    pillow_heif.from_pillow(picture(colour=(20, 120, 60))).save(buffer)
    return buffer.getvalue()


def cmyk() -> bytes:
    """Return a JPEG as print shops send them."""
    return encoded(picture("CMYK", colour=(90, 0, 0, 10)), "JPEG")


def sixteen_bit() -> bytes:
    """Return a grey PNG of 16 bits."""
    return encoded(Image.new("I;16", (96, 64), 40_000), "PNG")


def transparent() -> bytes:
    """Return a PNG that is half see-through."""
    return encoded(picture("RGBA", colour=(255, 0, 0, 100)), "PNG")


def animated(kind: str) -> bytes:
    """Return an animation of three frames: GIF, PNG or WEBP."""
    frames = [picture(colour=(shade, 0, 0)) for shade in (250, 120, 20)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


@cache
def bomb() -> bytes:
    """Return 24 kB that would decode to 196 megapixels."""
    return encoded(Image.new("1", (14_000, 14_000)), "PNG")


@cache
def poster(kind: str) -> bytes:
    """Return a picture of 9000x12000 pixels."""
    return encoded(Image.new("L", (9_000, 12_000), 128), kind)
