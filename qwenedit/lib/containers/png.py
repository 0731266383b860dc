"""PNG (https://www.w3.org/TR/png-3/): checks structure and checksums, keeps the chunks that are pixels."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from qwenedit.lib.containers.base import (
    MAX_PARTS,
    Container,
    damaged,
    decoding,
    exif_orientation,
    too_complex,
    truncated,
)

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_IEND: Final = b"\0\0\0\0IEND\xaeB`\x82"
_LONGEST: Final = {b"IHDR": 13, b"PLTE": 3 * 256, b"tRNS": 256, b"IDAT": (1 << 31) - 1}
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MAX_PROFILE_BYTES: Final = 4 << 20
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_INFLATED_AT_ONCE: Final = 4096  # deflate expands at most 1032 times, so 4 MB come of it


def read(data: bytes) -> Container:
    kept: list[bytes] = [SIGNATURE]
    header: tuple[int, ...] | None = None
    seen: set[bytes] = set()
    orientation, profile = 1, None
    position = len(SIGNATURE)
    for _ in range(MAX_PARTS):
        if position + 12 > len(data):
            raise truncated()
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise truncated()
        body = memoryview(data)[position + 8 : end - 4]
        critical = not kind[0] & 0x20
        if (critical or kind == b"tRNS") and zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(
            data[end - 4 : end], "big"
        ):
            raise damaged()
        if header is None:
            if kind != b"IHDR":
                raise damaged()
            header = _header(bytes(body))
        elif critical and kind not in (b"PLTE", b"IDAT", b"IEND"):
            raise damaged()
        if kind in _LONGEST:
            if length > _LONGEST[kind] or (kind in seen and kind != b"IDAT"):
                raise damaged()
            seen.add(kind)
            kept.append(data[position:end])
        elif kind == b"iCCP":
            profile = _profile(bytes(body))
        elif kind == b"eXIf":
            orientation = exif_orientation(bytes(body))
        elif kind == b"IEND":
            break
        position = end
    else:
        raise too_complex()
    width, height, bit_depth, colour_type = header[:4]
    if b"IDAT" not in seen or (colour_type == 3 and b"PLTE" not in seen):
        raise damaged()
    kept.append(_IEND)
    return Container("PNG", b"".join(kept), width, height, orientation, profile, bit_depth)


def check_pixels(data: bytes) -> None:
    """Inflate what `read` returned and count: decoders take rows that are missing for black.

    Never inflates more than the picture's own size. Raises InvalidImage.
    """
    width, height, bit_depth, colour_type, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    bits = bit_depth * _CHANNELS[colour_type]
    missing = 0
    for left, top, across, down in _ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        missing += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    inflater = zlib.decompressobj()
    with decoding():
        for packed in _pixel_data(data):
            missing -= len(inflater.decompress(packed, missing))
            if missing == 0:
                return
    raise truncated()


def _pixel_data(data: bytes) -> Iterator[bytes]:
    position = len(SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if kind == b"IDAT":
            for start in range(position + 8, end, _INFLATED_AT_ONCE):
                yield data[start : min(start + _INFLATED_AT_ONCE, end)]
        position = end + 4


def _header(body: bytes) -> tuple[int, ...]:
    if len(body) != 13:
        raise damaged()
    header = struct.unpack(">IIBBBBB", body)
    width, height, bit_depth, colour_type, compression, filtering, interlace = header
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31 and bit_depth in _DEPTHS.get(colour_type, ())):
        raise damaged()
    if compression or filtering or interlace > 1:
        raise damaged()
    return header


def _profile(body: bytes) -> bytes | None:
    _, _, packed = body.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if inflater.eof else None
