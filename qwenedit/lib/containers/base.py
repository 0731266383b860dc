"""What every container reader shares: its answer, its refusals, and the EXIF orientation."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from qwenedit.errors import DomainError

# A camera writes a few hundred parts at most; a file of a million empty ones only burns time.
MAX_PARTS: Final = 1 << 16

_DECODER_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

ContainerFormat = Literal["JPEG", "PNG", "WEBP", "HEIF"]


class InvalidImage(DomainError):
    """The file is not a picture we can take; `extra["reason"]` is a stable word.

    `empty`, `not_an_image`, `unsupported_format`, `truncated`, `damaged`, `too_complex`,
    `too_many_pixels`, `too_small`, `bad_aspect`.
    """

    code: ClassVar[str] = "invalid_image"

    def __init__(self, message: str, *, reason: str, **extra: Any) -> None:
        super().__init__(message, reason=reason, **extra)


@dataclass(frozen=True)
class Container:
    """A picture file without its metadata. `width` and `height` are as stored, before `orientation`."""

    format: ContainerFormat
    data: bytes
    width: int
    height: int
    orientation: int = 1  # EXIF tag 0x0112, 1 to 8
    profile: bytes | None = None  # ICC
    bit_depth: int = 8
    coefficient_bytes: float = 0.0  # per pixel, that a JPEG decoder must hold for the whole picture


def empty() -> InvalidImage:
    return InvalidImage("The file is empty.", reason="empty")


def truncated() -> InvalidImage:
    return InvalidImage("The picture is incomplete: the file ends too early.", reason="truncated")


def damaged() -> InvalidImage:
    return InvalidImage("The picture is damaged and cannot be read.", reason="damaged")


def too_complex() -> InvalidImage:
    return InvalidImage("The file is built of too many parts to be a photo.", reason="too_complex")


@contextmanager
def decoding() -> Iterator[None]:
    """Map what a decoder raises on hostile bytes to InvalidImage.

    Decoders promise no error classes, so nearly all are listed. MemoryError is not: sizes are judged
    before, so it means this machine. Nor is Exception: a task's time limit must get through.
    """
    try:
        yield
    except _DECODER_ERRORS as error:
        text = str(error).lower()
        raise (truncated() if "truncated" in text or "end of file" in text else damaged()) from error


def exif_orientation(exif: bytes) -> int:
    """Read tag 0x0112 of the first directory (CIPA DC-008, 4.6.4); 1 if absent or unreadable."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(entries):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
