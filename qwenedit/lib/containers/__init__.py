"""What a picture file says of itself, read from its bytes before any pixel is decoded.

`read_container` recognises JPEG, PNG, WEBP and HEIF by content alone, checks the structure, and
returns the file with nothing in it but pixels: EXIF, XMP, comments, text, previews, later frames and
whatever trails the picture are left behind, so no decoder downstream ever parses them (HEIF excepted:
libheif needs its boxes whole). What the pixels need to be understood, that is size, EXIF orientation
and colour profile, comes back beside them.

Knows nothing of limits on size: `qwenedit.lib.images` judges the numbers and decodes.
"""

from typing import Final

from qwenedit.lib.containers import heif, jpeg, png, webp
from qwenedit.lib.containers.base import Container, InvalidImage, damaged, decoding, empty
from qwenedit.lib.containers.heif import open_heif
from qwenedit.lib.containers.png import check_pixels

__all__ = ["Container", "InvalidImage", "check_pixels", "damaged", "decoding", "open_heif", "read_container"]

_REFUSED_PREFIXES: Final = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"<svg": "SVG",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
}

_HEIF_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)


def read_container(data: bytes) -> Container:
    """Recognise and check one picture file. Raises InvalidImage."""
    if not data:
        raise empty()
    if data.startswith(b"\xff\xd8\xff"):
        return jpeg.read(data)
    if data.startswith(png.SIGNATURE):
        return png.read(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp.read(data)
    brands = _brands(data)
    if brands & _HEIF_BRANDS and b"avif" not in brands:
        return heif.read(data)
    raise _unrecognised(data, brands)


def _unrecognised(data: bytes, brands: frozenset[bytes]) -> InvalidImage:
    known = next((name for prefix, name in _REFUSED_PREFIXES.items() if data.startswith(prefix)), None)
    if brands:
        known = "AVIF" if b"avif" in brands else "Video"
    if known is None:
        return InvalidImage("The file is not a picture.", reason="not_an_image")
    return InvalidImage(
        f"{known} files are not supported. Send a JPEG, PNG, WEBP or HEIC picture.",
        reason="unsupported_format",
        format=known,
    )


def _brands(data: bytes) -> frozenset[bytes]:
    """Major and compatible brands of an ISO base media file; empty for anything else."""
    if data[4:8] != b"ftyp":
        return frozenset()
    box = data[8 : min(int.from_bytes(data[:4], "big"), 1024)]
    return frozenset(box[at : at + 4] for at in range(0, len(box) - 3, 4) if at != 4)
