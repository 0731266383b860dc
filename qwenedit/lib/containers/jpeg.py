"""JPEG (ITU-T T.81, annex B): keeps tables, frame and scans, and foresees what decoding them takes."""

import re
import struct
from typing import Final

from qwenedit.lib.containers.base import (
    MAX_PARTS,
    Container,
    InvalidImage,
    damaged,
    exif_orientation,
    too_complex,
    truncated,
)

_MARKER: Final = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # not a stuffed 00, not RST0-7
_FRAMES: Final = frozenset((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))  # baseline, extended, progressive; arithmetic
_FRAMES_REFUSED: Final = frozenset((0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xDE))
_TABLES: Final = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD))
_STANDALONE: Final = frozenset((0x01, 0xD8))
_SOS, _EOI = 0xDA, 0xD9

# A progressive JPEG has about ten scans. Each costs a pass over the whole picture, however few its bytes.
_MAX_SCANS: Final = 100


def read(data: bytes) -> Container:
    kept: list[bytes] = [b"\xff\xd8"]
    frame: tuple[int, int, float, int, bool] | None = None
    orientation = 1
    profile_parts: dict[int, bytes] = {}
    buffered = False
    scans = 0
    position = 2
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, position)
        if found is None:
            break
        marker, start = found[1][0], found.end()
        if marker == _EOI:
            kept.append(b"\xff\xd9")
            break
        if marker in _STANDALONE:
            position = start
            continue
        length = int.from_bytes(data[start : start + 2], "big")
        position = start + length
        if length < 2 or position > len(data):
            raise truncated() if position >= len(data) else damaged()
        segment, body = data[found.end() - 2 : position], data[start + 2 : position]
        if marker in _FRAMES:
            if frame is not None:
                raise damaged()
            frame = _frame(marker, body)
            kept.append(segment)
        elif marker in _FRAMES_REFUSED:
            raise _unsupported("Lossless and hierarchical JPEG files are")
        elif marker == _SOS:
            if frame is None or not body:
                raise damaged()
            scans += 1
            if scans > _MAX_SCANS:
                raise too_complex()
            buffered = buffered or frame[4] or body[0] < frame[3]
            next_marker = _MARKER.search(data, position)
            position = next_marker.start() if next_marker else len(data)
            kept.append(data[found.end() - 2 : position])
        elif marker in _TABLES or (marker, body[:5]) in {(0xE0, b"JFIF\0"), (0xEE, b"Adobe")}:
            kept.append(segment)
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = exif_orientation(body) if orientation == 1 else orientation
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile_parts[body[12]] = body[14:]
    else:
        raise too_complex()
    if frame is None or not scans:
        raise truncated()
    width, height, coefficient_bytes = frame[:3]
    profile = b"".join(profile_parts[part] for part in sorted(profile_parts)) or None
    return Container(
        "JPEG",
        b"".join(kept),
        width,
        height,
        orientation,
        profile,
        coefficient_bytes=coefficient_bytes if buffered else 0.0,
    )


def _frame(marker: int, body: bytes) -> tuple[int, int, float, int, bool]:
    """Read SOFn: width, height, bytes of coefficients per pixel, components, progressive."""
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise damaged()
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if precision != 8:
        raise _unsupported(f"{precision}-bit JPEG files are")
    sampling = [divmod(body[7 + 3 * component], 16) for component in range(components)]
    if components not in (1, 3, 4) or not (width and height) or not all(h and v for h, v in sampling):
        raise damaged()
    largest = max(h for h, _ in sampling) * max(v for _, v in sampling)
    # libjpeg keeps 16-bit coefficients of every component when the scans do not come interleaved.
    coefficient_bytes = 2.0 * sum(h * v for h, v in sampling) / largest
    return width, height, coefficient_bytes, components, marker in (0xC2, 0xCA)


def _unsupported(what: str) -> InvalidImage:
    return InvalidImage(
        f"{what} not supported. Save the picture as an ordinary JPEG or PNG.",
        reason="unsupported_format",
        format="JPEG",
    )
