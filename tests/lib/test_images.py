"""Pictures in and out, with real files of each kind made by Pillow and libheif on the spot."""

import hashlib
import io
import itertools
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageStat, PngImagePlugin

from qwenedit.errors import DomainError
from qwenedit.lib.images import (
    ImageTooLarge,
    InvalidImage,
    Picture,
    normalise_upload,
    strip_result,
    thumbnail,
)

SAMPLES = Path(__file__).parents[2] / "qwenedit" / "samples"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 180, 60), (40, 60, 200), (230, 220, 40)
SECRET = b"SECRET-WORDS-OF-THE-OWNER"


def quadrants(width: int = 64, height: int = 48) -> Image.Image:
    """Four colours, so that any turn, flip or mixed-up channel shows."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for (column, row), colour in zip(
        itertools.product((0, 1), (0, 1)), (RED, GREEN, BLUE, YELLOW), strict=True
    ):
        left, top = column * width // 2, row * height // 2
        draw.rectangle((left, top, left + width // 2, top + height // 2), fill=colour)
    return image


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encode_heif(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.encode(image.mode, image.size, image.tobytes(), buffer, quality=90, **options)
    return buffer.getvalue()


def decode(picture: Picture | bytes) -> Image.Image:
    image = Image.open(io.BytesIO(picture.data if isinstance(picture, Picture) else picture))
    image.load()
    return image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def raw_png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"".join(
        (
            PNG_SIGNATURE,
            chunk(b"IHDR", header),
            *extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


def chunk_kinds(data: bytes) -> list[bytes]:
    kinds, position = [], len(PNG_SIGNATURE)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        kinds.append(kind)
        position += 12 + length
    return kinds


def exif(orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = SECRET.decode()
    tags.get_ifd(0x8825).update({1: "N", 2: (55.0, 45.0, 7.0), 3: "E", 4: (37.0, 36.0, 56.0)})
    return tags


def assert_close(
    image: Image.Image, at: tuple[float, float], colour: tuple[int, ...], tolerance: int = 8
) -> None:
    pixel = image.convert("RGB").getpixel((int(at[0] * image.width), int(at[1] * image.height)))
    assert all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True)), (pixel, colour)


def assert_quadrants(image: Image.Image, tolerance: int = 8) -> None:
    assert_close(image, (0.25, 0.25), RED, tolerance)
    assert_close(image, (0.25, 0.75), GREEN, tolerance)
    assert_close(image, (0.75, 0.25), BLUE, tolerance)
    assert_close(image, (0.75, 0.75), YELLOW, tolerance)


def refusal(data: bytes, call: Callable[[bytes], object] = normalise_upload) -> InvalidImage:
    with pytest.raises(InvalidImage) as caught:
        call(data)
    assert caught.value.code == "invalid_image"
    assert caught.value.status == 400
    assert not caught.value.retryable
    assert caught.value.message.endswith(".")
    return caught.value


def reason(data: bytes, call: Callable[[bytes], object] = normalise_upload) -> str:
    return refusal(data, call).extra["reason"]


class Stream:
    """A stream that counts what is taken from it, and gives at most `portion` bytes a time."""

    def __init__(self, length: int, *, size: int | None = None, portion: int = 1 << 30) -> None:
        self.left, self.portion, self.taken = length, portion, 0
        if size is not None:
            self.size = size

    def read(self, count: int = -1) -> bytes:
        count = min(self.left if count < 0 else count, self.left, self.portion)
        self.left -= count
        self.taken += count
        return bytes(count)


# Uploads that become a picture


def test_a_photo_becomes_an_upright_jpeg_that_looks_the_same():
    original = (SAMPLES / "astronaut.png").read_bytes()
    picture = normalise_upload(io.BytesIO(original))

    assert (picture.width, picture.height, picture.format) == (512, 512, "jpeg")
    assert (picture.content_type, picture.extension) == ("image/jpeg", "jpg")
    assert picture.bytes == len(picture.data)
    assert picture.sha256 == hashlib.sha256(picture.data).hexdigest()
    image = decode(picture)
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (512, 512))
    difference = ImageChops.difference(image, decode(original).convert("RGB"))
    assert max(ImageStat.Stat(difference).mean) < 3


def test_both_samples_are_the_photos_their_readme_names():
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((SAMPLES / "astronaut.png").read_bytes()).hexdigest() in readme
    assert normalise_upload((SAMPLES / "coffee.jpg").read_bytes()).width == 600
    assert "coffee.jpg" in readme


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation_is_applied_in_every_format(kind: str, orientation: int):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quadrants()
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}

    picture = normalise_upload(encode(stored, kind, exif=exif(orientation), **options))

    assert (picture.width, picture.height) == (64, 48)
    assert_quadrants(decode(picture))


def test_heic_is_turned_exactly_once():
    stored = quadrants().transpose(Image.Transpose.ROTATE_90)
    picture = normalise_upload(encode_heif(stored, exif=exif(6).tobytes()))
    assert (picture.width, picture.height) == (64, 48)
    assert_quadrants(decode(picture), tolerance=16)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_heic_of_every_mode_becomes_a_jpeg(mode: str):
    image = decode(normalise_upload(encode_heif(quadrants().convert(mode))))
    assert_close(image, (0.75, 0.75), quadrants().convert(mode).convert("RGB").getpixel((48, 36)), 16)


def test_nothing_personal_survives_in_any_format():
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    text.add_text("zipped", SECRET.decode() * 50, zip=True)
    files = [
        encode(quadrants(), "JPEG", exif=exif(), xmp=SECRET, comment=SECRET) + SECRET,
        encode(quadrants(), "PNG", exif=exif(), pnginfo=text) + SECRET,
        encode(quadrants(), "WEBP", exif=exif(), xmp=SECRET) + SECRET,
        encode_heif(quadrants(), exif=exif().tobytes(), xmp=SECRET),
    ]
    for data in files:
        assert SECRET in data
        picture = normalise_upload(data)
        assert SECRET not in picture.data
        assert not decode(picture).getexif()
        assert set(decode(picture).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}


def test_damaged_exif_does_not_cost_the_photo():
    data = encode(quadrants(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + SECRET)
    assert_quadrants(decode(normalise_upload(data)))


def test_an_archive_glued_to_a_picture_is_left_behind():
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encode(quadrants(), kind) + b"PK\x03\x04" + random.Random(1).randbytes(5000)
        assert b"PK\x03\x04" not in normalise_upload(data).data


def test_name_and_content_type_are_not_believed():
    upload = io.BytesIO(encode(quadrants(), "PNG"))
    upload.name, upload.content_type = "photo.jpg", "application/pdf"
    assert_quadrants(decode(normalise_upload(upload)))


def test_a_16_bit_grey_png_is_scaled_and_not_clipped():
    values = [0, 257 * 64, 257 * 128, 65535]
    rows = (b"\0" + b"".join(struct.pack(">H", value) * 16 for value in values)) * 32
    image = decode(normalise_upload(raw_png(64, 32, 16, 0, rows)))
    for column, grey in enumerate((0, 64, 128, 255)):
        assert_close(image, ((column + 0.5) / 4, 0.5), (grey, grey, grey), 2)


def test_a_16_bit_colour_png_keeps_its_colours():
    rows = (b"\0" + struct.pack(">HHH", 257 * 200, 257 * 100, 257 * 50) * 32) * 32
    assert_close(decode(normalise_upload(raw_png(32, 32, 16, 2, rows))), (0.5, 0.5), (200, 100, 50), 3)


def test_a_16_bit_grey_png_with_alpha_lies_on_white():
    rows = (b"\0" + struct.pack(">HH", 0, 65535) * 16 + struct.pack(">HH", 0, 0) * 16) * 32
    image = decode(normalise_upload(raw_png(32, 32, 16, 4, rows)))
    assert_close(image, (0.25, 0.5), (0, 0, 0))
    assert_close(image, (0.75, 0.5), (255, 255, 255))


@pytest.mark.parametrize(
    ("depth", "colour_type", "black_row", "key"),
    [
        (1, 0, b"\x00\x00\xff\xff", struct.pack(">H", 0)),
        (2, 0, b"\x55" * 4 + b"\xaa" * 4, struct.pack(">H", 1)),
        (4, 0, b"\x33" * 8 + b"\xcc" * 8, struct.pack(">H", 3)),
        (8, 0, b"\x11" * 16 + b"\xcc" * 16, struct.pack(">H", 0x11)),
        (16, 0, b"\x11\x22" * 16 + b"\xcc\xcc" * 16, b"\x11\x22"),
        (8, 2, b"\x11\x22\x33" * 16 + b"\xcc\xcc\xcc" * 16, b"\0\x11\0\x22\0\x33"),
        (16, 2, b"\x11\x01\x22\x02\x33\x03" * 16 + b"\xcc" * 96, b"\x11\x01\x22\x02\x33\x03"),
    ],
)
def test_a_png_colour_key_is_transparent_at_every_depth(
    depth: int, colour_type: int, black_row: bytes, key: bytes
):
    data = raw_png(32, 32, depth, colour_type, (b"\0" + black_row) * 32, chunk(b"tRNS", key))
    image = decode(normalise_upload(data))
    assert_close(image, (0.25, 0.5), (255, 255, 255))
    bright = {1: 255, 2: 170}.get(depth, 204)
    assert_close(image, (0.75, 0.5), (bright, bright, bright))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_flattened_onto_white(mode: str):
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 32, 64))
    data = encode(image.quantize(8) if mode == "P" else image.convert(mode), "PNG")
    result = decode(normalise_upload(data))
    assert_close(result, (0.25, 0.5), (0, 0, 0))
    assert_close(result, (0.75, 0.5), (255, 255, 255))


def test_half_transparent_pixels_blend_with_white_at_any_size():
    for side in (64, 5200):  # the larger goes through the reduction in bands
        data = encode(Image.new("RGBA", (side, side), (200, 0, 0, 128)), "PNG", compress_level=1)
        assert_close(decode(normalise_upload(data)), (0.5, 0.97), (227, 127, 127), 4)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_opaque_palettes_greys_and_bits_become_rgb(mode: str):
    source = quadrants().convert(mode)
    image = decode(normalise_upload(encode(source, "PNG")))
    assert image.mode == "RGB"
    grey = Image.Resampling.BOX
    average, expected = image.resize((1, 1), grey), source.convert("RGB").resize((1, 1), grey)
    assert_close(average, (0, 0), expected.getpixel((0, 0)), 4)


def test_an_interlaced_png_is_read():
    from_pillow = encode(Image.new("L", (32, 32), 77), "PNG")
    passes = [(4, 4), (4, 4), (8, 4), (8, 8), (16, 8), (16, 16), (32, 16)]
    rows = b"".join((b"\0" + b"\x4d" * width) * height for width, height in passes)
    header = struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 1)
    data = PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert decode(normalise_upload(data)).tobytes() == decode(normalise_upload(from_pillow)).tobytes()


def test_a_cmyk_jpeg_is_not_inverted():
    image = decode(normalise_upload(encode(quadrants().convert("CMYK"), "JPEG", quality=95)))
    assert_quadrants(image, tolerance=16)


def test_a_progressive_jpeg_is_read():
    assert_quadrants(decode(normalise_upload(encode(quadrants(), "JPEG", progressive=True, quality=95))))


def linear_profile() -> bytes:
    """sRGB primaries with gamma 1.0 curves: middle grey is stored as 55 rather than 128."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    for entry in range(count):
        tag, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * entry)
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            profile[offset : offset + size] = struct.pack(">4sIHH", b"para", 0, 0, 0).ljust(12, b"\0") + (
                struct.pack(">i", 1 << 16).ljust(size - 12, b"\0")
            )
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_an_embedded_colour_profile_is_converted_to_srgb(kind: str):
    source, profile = Image.new("RGB", (64, 64), (55, 55, 55)), linear_profile()
    if kind == "HEIF":
        data = encode_heif(source, icc_profile=profile, icc_profile_type="prof")
    else:
        data = encode(source, kind, icc_profile=profile)
    image = decode(normalise_upload(data))
    assert "icc_profile" not in image.info
    assert_close(image, (0.5, 0.5), (128, 128, 128), 4)


def test_a_broken_or_foreign_profile_is_ignored():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (b"\0" * 200, linear_profile()[:300], lab):
        assert_quadrants(
            decode(normalise_upload(encode(quadrants(), "JPEG", quality=95, icc_profile=profile)))
        )


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_only_the_first_frame_of_an_animation_is_taken(kind: str):
    later = [Image.new("RGB", (64, 48), colour) for colour in (RED, GREEN)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(quadrants(), kind, save_all=True, append_images=later, duration=100, **options)
    assert decode(data).n_frames == 3
    assert_quadrants(decode(normalise_upload(data)))


def test_a_large_photo_is_scaled_down_and_a_small_one_never_up():
    large = normalise_upload(encode(quadrants(3000, 2000), "JPEG", quality=90))
    assert (large.width, large.height) == (2048, 1365)
    assert_quadrants(decode(large))
    assert normalise_upload(encode(quadrants(20, 16), "PNG")).width == 20
    assert normalise_upload(encode(quadrants(300, 200), "PNG"), max_side=100).height == 67


@pytest.fixture(scope="module")
def photo_of_108_megapixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "photo.jpg"
    path.write_bytes(encode(quadrants(9000, 12000), "JPEG", quality=80, exif=exif(6)))
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")
def test_108_megapixels_of_jpeg_are_right_and_take_little_memory(photo_of_108_megapixels: Path):
    program = (
        "import sys; from pathlib import Path; from qwenedit.lib.images import normalise_upload;"
        "picture = normalise_upload(Path(sys.argv[1]).read_bytes());"
        "Path(sys.argv[2]).write_bytes(picture.data);"
        "print(Path('/proc/self/status').read_text())"
    )
    result = photo_of_108_megapixels.with_name("result.jpg")
    run = subprocess.run(
        [sys.executable, "-c", program, str(photo_of_108_megapixels), str(result)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=SAMPLES.parents[1],
    )
    peak = next(line for line in run.stdout.splitlines() if line.startswith("VmHWM:"))
    assert int(peak.split()[1]) < 200_000  # kilobytes
    image = decode(result.read_bytes())
    assert image.size == (2048, 1536)
    assert_quadrants(image.transpose(Image.Transpose.ROTATE_90))


def test_threads_do_not_disturb_each_other():
    files = [
        encode(quadrants(), "JPEG", exif=exif(3)),
        encode(quadrants(), "PNG"),
        encode(quadrants(), "WEBP"),
        encode_heif(quadrants()),
        b"no picture",
    ]

    def outcome(data: bytes) -> str:
        try:
            return normalise_upload(data).sha256
        except InvalidImage as error:
            return error.extra["reason"]

    expected = [outcome(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, files * 20)) == expected * 20


# Uploads that are refused


def test_an_empty_file_is_refused():
    assert reason(b"") == "empty"
    with pytest.raises(InvalidImage):
        normalise_upload(io.BytesIO())


@pytest.mark.parametrize(
    "data", [b"hello", b"<html><body>", b"PK\x03\x04", b"\0" * 100, b"\xff\xd8", b"RIFF"]
)
def test_what_is_not_a_picture_is_refused(data: bytes):
    assert reason(data) == "not_an_image"


@pytest.mark.parametrize(
    ("kind", "name"), [("GIF", "GIF"), ("BMP", "BMP"), ("TIFF", "TIFF"), ("AVIF", "AVIF")]
)
def test_another_picture_format_is_refused_by_name(kind: str, name: str):
    error = refusal(encode(quadrants(), kind))
    assert (error.extra["reason"], error.extra["format"]) == ("unsupported_format", name)
    assert name in error.message


def test_an_animated_gif_and_a_video_are_refused_by_name():
    animation = encode(quadrants(), "GIF", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    assert refusal(animation).extra["format"] == "GIF"
    assert refusal(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 50).extra["format"] == "Video"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_refused(kind: str, share: float):
    data = encode(decode((SAMPLES / "astronaut.png").read_bytes()).convert("RGB"), kind)
    assert reason(data[: int(len(data) * share)]) == "truncated"


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_heic_is_refused(share: float):
    data = encode_heif(decode((SAMPLES / "astronaut.png").read_bytes()).convert("RGB"))
    assert reason(data[: int(len(data) * share)]) in ("truncated", "damaged")


def test_a_changed_checksum_or_chunk_order_is_damage():
    data = encode(quadrants(), "PNG")
    at = data.index(b"IDAT") + 8
    assert reason(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]) == "damaged"
    assert reason(PNG_SIGNATURE + chunk(b"IDAT", b"") + chunk(b"IEND", b"")) == "damaged"
    assert reason(PNG_SIGNATURE + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b"")) == "damaged"


def test_pixels_that_end_too_early_inside_whole_chunks_are_refused():
    assert reason(raw_png(64, 64, 8, 2, (b"\0" + b"\1" * 192) * 30)) == "truncated"


def test_pixel_data_beyond_the_picture_does_no_harm():
    rows = (b"\0" + b"\x63" * 192) * 64
    surplus = rows + random.Random(2).randbytes(50_000)
    assert_close(decode(normalise_upload(raw_png(64, 64, 8, 2, surplus))), (0.5, 0.5), (99, 99, 99), 2)


@pytest.mark.parametrize("side", [10_000, 14_000, 100_000])
def test_a_decompression_bomb_is_refused_by_its_header(side: int):
    rows = bytes((side // 8 + 1) * min(side, 14_000))
    bomb = raw_png(side, side, 1, 0, rows)
    assert len(bomb) < 200_000
    for call in (normalise_upload, strip_result, lambda data: thumbnail(data, 128)):
        error = refusal(bomb, call)
        assert error.extra["reason"] == "too_many_pixels"
        assert error.extra["limit_pixels"] < side * side
        assert f"{side}x{side}" in error.message


def test_bombs_of_every_format_are_refused_before_decoding():
    jpeg = bytearray(encode(quadrants(), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    assert reason(bytes(jpeg)) == "too_many_pixels"
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2
    webp += encode(quadrants(), "WEBP")[12:]
    assert reason(b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp) == "too_many_pixels"


def test_the_pixel_limit_is_the_callers():
    data = encode(quadrants(200, 100), "JPEG")
    assert normalise_upload(data, max_pixels=20_000).width == 200
    with pytest.raises(InvalidImage) as caught:
        normalise_upload(data, max_pixels=19_999)
    assert caught.value.extra["limit_pixels"] == 19_999


def test_a_large_progressive_jpeg_is_judged_by_what_decoding_holds():
    jpeg = bytearray(encode(quadrants(), "JPEG", progressive=True, subsampling=0))
    at = jpeg.index(b"\xff\xc2") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 9_000, 12_000)
    assert reason(bytes(jpeg)) == "too_many_pixels"


def test_a_jpeg_of_a_thousand_scans_is_refused():
    data = encode(quadrants(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    assert reason(data[:at] + data[at:-2] * 1000 + data[-2:]) == "too_complex"


def test_a_file_of_a_million_empty_parts_is_refused():
    assert reason(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 1_000_000) == "too_complex"
    assert reason(encode(quadrants(), "PNG")[:33] + chunk(b"teXt", b"") * 1_000_000) == "too_complex"


def test_a_12_bit_or_lossless_jpeg_is_refused_by_name():
    for at, value in ((4, 12), (1, 0xC3)):
        jpeg = bytearray(encode(quadrants(), "JPEG"))
        jpeg[jpeg.index(b"\xff\xc0") + at] = value
        assert reason(bytes(jpeg)) == "unsupported_format"


@pytest.mark.parametrize("size", [(15, 100), (100, 15), (1, 1)])
def test_a_tiny_picture_is_refused(size: tuple[int, int]):
    assert reason(encode(Image.new("RGB", size), "PNG")) == "too_small"


def test_a_strip_is_refused_only_beyond_twenty_to_one():
    assert reason(encode(Image.new("L", (421, 20)), "PNG")) == "bad_aspect"
    assert reason(encode(Image.new("L", (20, 421)), "PNG")) == "bad_aspect"
    assert normalise_upload(encode(Image.new("L", (400, 20)), "PNG")).height == 20


def test_a_file_known_to_be_too_large_is_not_read_at_all():
    stream = Stream(50 << 20, size=50 << 20)
    with pytest.raises(ImageTooLarge) as caught:
        normalise_upload(stream)
    assert stream.taken == 0
    assert (caught.value.code, caught.value.status) == ("too_large", 413)
    assert caught.value.extra == {"limit_bytes": 20 << 20}
    assert "20 MB" in caught.value.message


@pytest.mark.parametrize("declared", [None, 10])
def test_a_stream_is_read_at_most_one_byte_past_the_limit(declared: int | None):
    stream = Stream(50 << 20, size=declared, portion=65_536)
    with pytest.raises(ImageTooLarge):
        normalise_upload(stream, max_bytes=1_000_000)
    assert stream.taken == 1_000_001


def test_the_byte_limit_itself_is_allowed():
    data = encode(quadrants(), "PNG")
    assert normalise_upload(data, max_bytes=len(data)).width == 64
    assert normalise_upload(io.BytesIO(data), max_bytes=len(data)).width == 64
    for source in (data, io.BytesIO(data)):
        with pytest.raises(ImageTooLarge):
            normalise_upload(source, max_bytes=len(data) - 1)


# Results


def result_of_comfyui(image: Image.Image) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", '{"6": {"inputs": {"text": "' + SECRET.decode() + '"}}}')
    text.add_text("workflow", "{}" * 2000)
    text.add_itxt("parameters", SECRET.decode(), zip=True)
    return encode(image, "PNG", pnginfo=text, exif=exif(), compress_level=4)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_a_result_keeps_its_pixels_and_loses_everything_else(mode: str):
    image = Image.new(mode, (64, 48), 40_000) if mode == "I;16" else quadrants().convert(mode)
    data = result_of_comfyui(image) + b"trailing " + SECRET
    picture = strip_result(data)

    assert (picture.width, picture.height, picture.format) == (64, 48, "png")
    assert (picture.content_type, picture.extension) == ("image/png", "png")
    assert picture.sha256 == hashlib.sha256(picture.data).hexdigest()
    assert set(chunk_kinds(picture.data)) <= {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
    assert SECRET not in picture.data
    before, after = decode(data), decode(picture)
    assert (after.mode, after.tobytes(), after.getpalette()) == (
        before.mode,
        before.tobytes(),
        before.getpalette(),
    )


def test_a_result_keeps_the_compressed_pixels_as_they_are():
    plain = encode(quadrants(), "PNG", compress_level=4)
    assert strip_result(result_of_comfyui(quadrants())).data == plain
    assert strip_result(plain).data == plain


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_a_result_in_another_format_becomes_a_clean_png(kind: str):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    data = encode(quadrants(), kind, exif=exif(), **options)
    picture = strip_result(data)
    assert picture.format == "png"
    assert chunk_kinds(picture.data)[0] == b"IHDR"
    assert set(chunk_kinds(picture.data)) == {b"IHDR", b"IDAT", b"IEND"}
    assert decode(picture).convert("RGB").tobytes() == decode(data).convert("RGB").tobytes()


def test_a_transparent_webp_result_stays_transparent():
    source = Image.new("RGBA", (32, 32), (10, 200, 30, 90))
    data = encode(source, "WEBP", lossless=True, exact=True)
    assert decode(strip_result(data)).tobytes() == source.tobytes()


def test_an_animated_result_becomes_its_first_picture():
    data = encode(quadrants(), "PNG", save_all=True, append_images=[Image.new("RGB", (64, 48))])
    result = decode(strip_result(data))
    assert getattr(result, "n_frames", 1) == 1
    assert result.convert("RGB").tobytes() == quadrants().tobytes()


def test_a_result_that_is_no_picture_or_not_whole_is_refused():
    data = result_of_comfyui(quadrants())
    assert reason(b"", strip_result) == "empty"
    assert reason(b'{"error": "not found"}', strip_result) == "not_an_image"
    for end in (20, len(data) // 2, len(data) - 1, len(data) - 12):
        assert reason(data[:end], strip_result) == "truncated"
    assert reason(raw_png(64, 64, 8, 2, (b"\0" + b"\1" * 192) * 30), strip_result) == "truncated"
    with pytest.raises(ImageTooLarge):
        strip_result(data, max_bytes=100)


# Previews


def test_a_preview_is_small_and_keeps_the_aspect():
    data = normalise_upload(encode(quadrants(3000, 1500), "PNG")).data
    preview = thumbnail(data, 256)
    image = decode(preview)
    assert (image.format, image.size) == ("JPEG", (256, 128))
    assert len(preview) < 10_000
    assert_quadrants(image, tolerance=16)
    assert decode(thumbnail(encode(Image.new("RGB", (5000, 1)), "PNG"), 64)).size == (64, 1)
    assert reason(b"no picture", lambda broken: thumbnail(broken, 64)) == "not_an_image"


# Hostile bytes

SMALL_FILES = [
    encode(quadrants(), "JPEG", exif=exif(6), icc_profile=linear_profile()),
    encode(quadrants(), "JPEG", progressive=True),
    encode(quadrants().convert("CMYK"), "JPEG"),
    encode(quadrants(), "PNG", exif=exif(3), icc_profile=linear_profile()),
    encode(quadrants().quantize(8), "PNG", transparency=1),
    encode(quadrants().convert("RGBA"), "WEBP", lossless=True, exif=exif(8)),
    encode(quadrants(), "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 48))]),
    encode_heif(quadrants()),
]
SIGNATURES = [
    b"",
    b"\xff\xd8\xff",
    PNG_SIGNATURE,
    b"RIFF\x40\0\0\0WEBP",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
]


def either_a_picture_or_a_refusal(data: bytes) -> None:
    for call in (normalise_upload, strip_result):
        try:
            picture = call(data)
        except DomainError:
            continue
        assert decode(picture).size == (picture.width, picture.height)


@settings(max_examples=300, deadline=None)
@given(signature=st.sampled_from(SIGNATURES), rest=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_refusal(signature: bytes, rest: bytes):
    either_a_picture_or_a_refusal(signature + rest)


@settings(max_examples=300, deadline=None)
@given(
    original=st.sampled_from(SMALL_FILES),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12),
    near_the_start=st.booleans(),
)
def test_no_damage_to_a_good_file_raises_anything_but_a_refusal(
    original: bytes, changes: list[tuple[float, int]], near_the_start: bool
):
    data = bytearray(original)
    reach = min(len(data), 400) if near_the_start else len(data)
    for place, value in changes:
        data[int(place * (reach - 1))] = value
    either_a_picture_or_a_refusal(bytes(data))


@settings(max_examples=150, deadline=None)
@given(original=st.sampled_from(SMALL_FILES), cut=st.floats(0, 1), tail=st.binary(max_size=40))
def test_no_cut_of_a_good_file_raises_anything_but_a_refusal(original: bytes, cut: float, tail: bytes):
    either_a_picture_or_a_refusal(original[: int(cut * len(original))] + tail)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"IDAT", b"zTXt"]),
    body=st.binary(max_size=60),
)
def test_no_well_formed_chunk_raises_anything_but_a_refusal(kind: bytes, body: bytes):
    original = encode(quadrants().quantize(8), "PNG")
    either_a_picture_or_a_refusal(original[:33] + chunk(kind, body) + original[33:])
