"""WEBP (RFC 9649): keeps the first frame and its alpha, with a RIFF header that says so."""

import struct

from qwenedit.lib.containers.base import (
    MAX_PARTS,
    Container,
    damaged,
    exif_orientation,
    too_complex,
    truncated,
)


def read(data: bytes) -> Container:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated()
    kept: list[bytes] = []
    size: tuple[int, int] | None = None
    orientation, profile = 1, None
    frames = 0
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > end:
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        stop = position + 8 + length
        if stop > end:
            raise damaged()
        chunk, body = data[position : stop + length % 2], data[position + 8 : stop]
        if size is None:
            size = _size(kind, body)
        if kind == b"VP8X" and not kept:
            flags = body[0] & ~0x2C  # no profile, EXIF or XMP follows any more
            kept.append(chunk[:8] + bytes((flags,)) + chunk[9:])
        elif kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM") or (kind == b"ANMF" and not frames):
            frames += kind == b"ANMF"
            kept.append(chunk)
        elif kind == b"ICCP":
            profile = body
        elif kind == b"EXIF":
            orientation = exif_orientation(body)
        position = stop + length % 2
    else:
        raise too_complex()
    if size is None:
        raise damaged()
    chunks = b"".join(kept)
    riff = struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WEBP")
    return Container("WEBP", riff + chunks, *size, orientation, profile)


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind == b"VP8X" and len(body) >= 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        if width & 0x3FFF and height & 0x3FFF:
            return width & 0x3FFF, height & 0x3FFF
    raise damaged()
