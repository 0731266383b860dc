"""Pictures to be edited, and results: of next to no size, or of a size that is asked for."""

from __future__ import annotations

import os
from io import BytesIO

from PIL import Image


def picture(kind: str, side: int = 64) -> bytes:
    """Return a square picture of one colour, so small that handling it costs next to nothing."""
    target = BytesIO()
    Image.new("RGB", (side, side), "teal").save(target, kind)
    return target.getvalue()


def noise(kind: str, size: int) -> bytes:
    """Return a picture of noise that has about `size` bytes as a file."""
    side = 256
    while True:
        target = BytesIO()
        Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(target, kind)
        data = target.getvalue()
        if len(data) >= 0.95 * size:
            return data
        side = max(side + 8, int(side * (size / len(data)) ** 0.5))
