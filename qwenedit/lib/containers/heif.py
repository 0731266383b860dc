"""HEIF (ISO/IEC 23008-12): size and profile of the primary picture, by libheif's own reader."""

from typing import Any

from qwenedit.lib.containers.base import Container, decoding


def read(data: bytes) -> Container:
    heif = open_heif(data)
    with decoding():  # a file may hold no picture at all
        width, height = heif.size
        return Container("HEIF", data, width, height, profile=heif.info.get("icc_profile"))


def open_heif(data: bytes) -> Any:
    """Open HEIF without decoding. libheif applies the container's own rotation; EXIF has no say.

    Raises InvalidImage.
    """
    # Here, because it maps a video codec into the process, which only HEIC pictures are worth.
    import pillow_heif

    with decoding():
        return pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
