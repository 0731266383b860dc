"""Pictures in and out: what a user sends becomes an upright sRGB JPEG, what the model makes a bare PNG.

Nothing about a file is believed but its bytes: `containers` recognises the format and drops
the metadata, this module judges the claimed size, decodes, converts and encodes. It knows nothing of
users, jobs, storage or HTTP, and changes no global state of Pillow: any number of threads may call it.

Decisions:

* Uploads leave as JPEG, quality 95, no chroma subsampling. The model works on about one megapixel, so
  nothing it can see is lost, while a PNG of a photo is three to four times the bytes to store and to
  carry to every GPU machine, and over ten times the time to encode. One format is also one path to test.
* Transparency is flattened onto white: what a browser or a printed page would show.
* The longest side is brought down to 2048 (about four times what the model sees), never up.
* Decoding may take 400 MiB. That allows 120 megapixels of ordinary JPEG, which is shrunk while it is
  decoded, 52 of PNG and HEIC (an iPhone makes 48), 25 of WEBP, whose decoder holds four copies.
  Progressive JPEG is held whole as coefficients, so there the limit follows from its chroma sampling.
* Strips longer than 20:1 are refused: nothing of them would be left at the model's size.
* Pixels of an animation beyond its first frame are never decoded.
"""

import builtins
import hashlib
import io
import math
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Final, Literal

from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from qwenedit.errors import DomainError
from qwenedit.lib.containers import (
    Container,
    InvalidImage,
    check_pixels,
    damaged,
    decoding,
    open_heif,
    read_container,
)

__all__ = [
    "ImageTooLarge",
    "InvalidImage",
    "Picture",
    "normalise_upload",
    "read_limited",
    "strip_result",
    "thumbnail",
]

MAX_UPLOAD_BYTES: Final = 20 << 20
MAX_RESULT_BYTES: Final = 100 << 20
MAX_PIXELS: Final = 120_000_000
MAX_SIDE: Final = 2048
MIN_SIDE: Final = 16
MAX_ASPECT: Final = 20
MEMORY_BUDGET: Final = 400 << 20

JPEG_QUALITY: Final = 95

# Measured peaks: WEBP holds two canvases, one copy as bytes and one as an image.
_BYTES_PER_PIXEL: Final = {"PNG": 8.0, "HEIF": 8.0, "WEBP": 16.5}
# How much larger than the target a cheap reduction may leave a picture for Lanczos to finish.
_REDUCING_GAP: Final = 1.25
_BAND_ROWS: Final = 256
# A quarter of the default level's time, for a tenth more bytes.
_PNG_COMPRESSION: Final = 2

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageTooLarge(DomainError):
    """The file has more bytes than allowed; `extra["limit_bytes"]` says how many are."""

    code: ClassVar[str] = "too_large"
    status: ClassVar[int] = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"The file is too large: at most {limit_bytes / (1 << 20):.4g} MB are accepted.",
            limit_bytes=limit_bytes,
        )


@dataclass(frozen=True)
class Picture:
    """An encoded picture free of metadata, in sRGB."""

    data: builtins.bytes
    width: int
    height: int
    format: Literal["jpeg", "png"]
    sha256: str

    @property
    def content_type(self) -> str:
        return f"image/{self.format}"

    @property
    def extension(self) -> str:
        """File name extension without the dot."""
        return "jpg" if self.format == "jpeg" else "png"

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return len(self.data)


def normalise_upload(
    source: BinaryIO | bytes,
    *,
    max_bytes: int = MAX_UPLOAD_BYTES,
    max_pixels: int = MAX_PIXELS,
    max_side: int = MAX_SIDE,
) -> Picture:
    """Turn whatever was sent into an upright sRGB JPEG of at most `max_side` pixels a side.

    A stream is read from where it stands, and never further than one byte past `max_bytes`; one whose
    `size` is known to be larger is not read at all. Raises ImageTooLarge, InvalidImage.
    """
    container = read_container(read_limited(source, max_bytes))
    width, height = container.width, container.height
    if min(width, height) < MIN_SIDE:
        raise InvalidImage(
            f"The picture is too small ({width}x{height}): each side needs at least {MIN_SIDE} pixels.",
            reason="too_small",
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InvalidImage(
            f"The picture is too narrow ({width}x{height}): "
            f"one side may be at most {MAX_ASPECT} times the other.",
            reason="bad_aspect",
        )
    image = _render(container, max_side=max_side, max_pixels=max_pixels)
    return _picture(_encode_jpeg(image, quality=JPEG_QUALITY, subsampling=0), image.size, "jpeg")


def strip_result(data: bytes, *, max_bytes: int = MAX_RESULT_BYTES, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return a result as a PNG with its pixels unchanged and nothing else in it.

    ComfyUI embeds the whole prompt and workflow as text chunks (PNG) or EXIF (JPEG, WEBP). A PNG only
    loses chunks, its compressed pixels pass through, counted but not decoded; other formats are decoded
    and encoded anew, turned upright and to sRGB if what is dropped said so. Raises ImageTooLarge,
    InvalidImage.
    """
    container = read_container(read_limited(data, max_bytes))
    if container.format == "PNG":
        _check_pixels(container, shrink=1, max_pixels=max_pixels)
        check_pixels(container.data)
        return _picture(container.data, (container.width, container.height), "png")
    with decoding():
        image = _decode(container, shrink=1, max_pixels=max_pixels)
        if image.mode != "RGBA":
            image = _to_srgb(_opaque(image), container.profile)
        image = _upright(image, container.orientation)
        image.info = {}
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=_PNG_COMPRESSION)
    return _picture(buffer.getvalue(), image.size, "png")


def thumbnail(data: bytes, side: int) -> bytes:
    """Return a JPEG preview that fits a square of `side` pixels. Raises InvalidImage."""
    image = _render(read_container(data), max_side=side, max_pixels=MAX_PIXELS)
    return _encode_jpeg(image, quality=80, subsampling=2)


def read_limited(source: BinaryIO | bytes, max_bytes: int) -> bytes:
    """Return the bytes of `source`, from where it stands, if they are at most `max_bytes`.

    A larger one is not read at all where its `size` is known, else one byte past the limit.
    Raises ImageTooLarge.
    """
    size = len(source) if isinstance(source, bytes) else getattr(source, "size", None)
    if isinstance(size, int) and size > max_bytes:
        raise ImageTooLarge(max_bytes)
    if isinstance(source, bytes):
        return source
    data = bytearray()
    while len(data) <= max_bytes:
        block = source.read(max_bytes + 1 - len(data))  # a socket may give less than it was asked for
        if not block:
            return bytes(data)
        data += block
    raise ImageTooLarge(max_bytes)


def _picture(data: bytes, size: tuple[int, int], kind: Literal["jpeg", "png"]) -> Picture:
    return Picture(data, *size, kind, hashlib.sha256(data).hexdigest())


def _encode_jpeg(image: Image.Image, *, quality: int, subsampling: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def _render(container: Container, *, max_side: int, max_pixels: int) -> Image.Image:
    """Decode to an upright, opaque picture in sRGB (mode RGB) that fits `max_side`."""
    stored = container.width, container.height
    scale = min(1.0, max_side / max(stored))
    target = max(1, round(stored[0] * scale)), max(1, round(stored[1] * scale))
    room = int(min(stored[0] / target[0], stored[1] / target[1]) / _REDUCING_GAP)
    shrink = 1
    if container.format == "JPEG":
        shrink = next((factor for factor in (8, 4, 2) if room >= factor), 1)
    with decoding():
        image = _decode(container, shrink=shrink, max_pixels=max_pixels)
        image = _reduce(image, factor=max(1, room // shrink))
        if image.size != target:
            image = image.resize(target, Image.Resampling.LANCZOS)
        return _upright(_to_srgb(image, container.profile), container.orientation)


def _decode(container: Container, *, shrink: int, max_pixels: int) -> Image.Image:
    """Decode the pixels; a JPEG comes out `shrink` times smaller."""
    _check_pixels(container, shrink=shrink, max_pixels=max_pixels)
    # The plugins' own classes: Image.open would judge by the process-wide MAX_IMAGE_PIXELS.
    stream = io.BytesIO(container.data)
    image: Image.Image
    if container.format == "JPEG":
        image = JpegImagePlugin.JpegImageFile(stream)
        image.draft(None, (container.width // shrink, container.height // shrink))
    elif container.format == "PNG":
        check_pixels(container.data)
        image = PngImagePlugin.PngImageFile(stream)
        _scale_colour_key(image, container.bit_depth)
    elif container.format == "WEBP":
        image = WebPImagePlugin.WebPImageFile(stream)
    else:
        image = open_heif(container.data).to_pillow()
    image.load()
    if image.size != (-(-container.width // shrink), -(-container.height // shrink)):
        raise damaged()
    return image


def _check_pixels(container: Container, *, shrink: int, max_pixels: int) -> None:
    """Refuse by the claimed size, before memory is taken for it."""
    per_pixel = _BYTES_PER_PIXEL.get(container.format)
    if per_pixel is None:
        per_pixel = container.coefficient_bytes + 4 / shrink**2
    limit = min(max_pixels, int(MEMORY_BUDGET / per_pixel))
    if container.width * container.height > limit:
        raise InvalidImage(
            f"The picture has too many pixels ({container.width}x{container.height}): "
            f"at most {limit / 1e6:.0f} megapixels are accepted for a file of this kind.",
            reason="too_many_pixels",
            limit_pixels=limit,
        )


def _scale_colour_key(image: Image.Image, bit_depth: int) -> None:
    """Bring the transparent colour of a PNG, in the file's own depth, to the 8 bits Pillow decodes to."""
    key = image.info.get("transparency")
    if isinstance(key, tuple) and bit_depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif isinstance(key, int) and image.mode == "L" and bit_depth < 8:
        image.info["transparency"] = key * 255 // ((1 << bit_depth) - 1)


def _reduce(image: Image.Image, factor: int) -> Image.Image:
    """Flatten and shrink by a whole factor, band by band, so no second copy at full size exists."""
    if factor == 1 and image.mode in ("L", "RGB", "CMYK") and not image.has_transparency_data:
        return image
    width, height = image.size
    rows = factor * math.ceil(_BAND_ROWS / factor)
    mode = _opaque(image.crop((0, 0, 1, 1))).mode
    reduced = Image.new(mode, (math.ceil(width / factor), math.ceil(height / factor)))
    for top in range(0, height, rows):
        band = _opaque(image.crop((0, top, width, min(top + rows, height))))
        reduced.paste(band.reduce(factor), (0, top // factor))
    return reduced


def _opaque(image: Image.Image) -> Image.Image:
    """Return the image as L, RGB or CMYK in its own colour space, transparency laid on white."""
    if image.mode == "I;16":
        image = _eight_bit(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode[:-1] + "A")
    grey = image.mode in ("1", "L", "LA")
    if not image.has_transparency_data:
        return image if image.mode in ("L", "RGB", "CMYK") else image.convert("L" if grey else "RGB")
    image = image.convert("LA" if grey else "RGBA")
    flat = Image.new("L" if grey else "RGB", image.size, "white")
    flat.paste(image.convert(flat.mode), mask=image.getchannel("A"))
    return flat


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits: Pillow's own conversion clips everything above 255 to white."""
    grey = image.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    key = image.info.get("transparency")
    if key is None:
        return grey
    opacity = image.convert("I").point([0 if value == key else 255 for value in range(1 << 16)], "L")
    return Image.merge("LA", (grey, opacity))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert L, RGB or CMYK to RGB; a profile that is broken or of another colour space is ignored."""
    if profile is not None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if source.profile.xcolor_space.strip() == {"L": "GRAY"}.get(image.mode, image.mode):
                converted = ImageCms.profileToProfile(
                    image,
                    source,
                    ImageCms.createProfile("sRGB"),
                    renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                if converted is not None:
                    image = converted
        except (ImageCms.PyCMSError, OSError):
            pass
    image = image.convert("RGB")
    image.info = {}  # an encoder would write what it finds here into the file
    return image


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)
