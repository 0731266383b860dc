"""What each node class does.

Owns: the values that travel along the links and the functions that make them. Every function takes the
execution's `Context` first and its inputs by name, and returns one value per output; an output node
returns what the history shows of it. Must not know queues, caches or messages.

Along the links travel: an IMAGE as a batch, a list of RGB pictures; a LATENT as the size and the batch it
was made from; a CONDITIONING as the prompt and its reference pictures; a MODEL, CLIP or VAE as its name.
"""

import math
import random
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo

from qwenedit.sandbox.comfyui import filters
from qwenedit.sandbox.comfyui.files import Folders, OutsideFolderError, file_digest

LATENT_STEP = 8
PREVIEW_COMPRESSION = 1
EMPTY_MASK = (64, 64)
KONTEXT_SIZES = [
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
    (1024, 1024), (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688),
    (1568, 672),
]  # fmt: skip
RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

Batch = list[Image.Image]
Size = tuple[int, int]


class MissingFileError(OSError):
    """An input file is gone; reported under the name that ComfyUI's decoder gives it."""


MissingFileError.__module__ = "av.error"
MissingFileError.__qualname__ = "FileNotFoundError"


@dataclass(frozen=True)
class Weights:
    """A model, text encoder or VAE: nothing but its file's name."""

    name: str


@dataclass(frozen=True)
class Conditioning:
    """A prompt and the pictures it speaks about, in order."""

    prompt: str
    references: tuple[Image.Image, ...] = ()


@dataclass(frozen=True)
class Latent:
    """A size in pixels and a picture per member of the batch, None where there is none yet."""

    size: Size
    pictures: tuple[Image.Image | None, ...]


class Context(Protocol):
    """What the execution offers to a node."""

    folders: Folders
    png_compression: int

    @property
    def seconds_per_step(self) -> float:
        """The time one sampling step takes."""

    def progress(self, value: int, total: int, picture: Image.Image) -> None:
        """Report a finished step; raises if the prompt was interrupted."""

    def png_metadata(self) -> Mapping[str, str]:
        """Return the text chunks a saved PNG gets."""


def load_diffusion_model(context: Context, unet_name: str, weight_dtype: str) -> tuple[Weights]:
    """Stand for loading a diffusion model."""
    return (Weights(unet_name),)


def load_text_encoder(context: Context, clip_name: str, type: str, device: str = "default") -> tuple[Weights]:
    """Stand for loading a text encoder."""
    return (Weights(clip_name),)


def load_vae(context: Context, vae_name: str) -> tuple[Weights]:
    """Stand for loading a VAE."""
    return (Weights(vae_name),)


def patch_model(context: Context, model: Weights, **settings: Any) -> tuple[Weights]:
    """Stand for a LoRA or a sampling setting: the model stays what it is."""
    return (model,)


def missing_image(folders: Folders, name: Any) -> str | None:
    """Return ComfyUI's complaint about an image input that does not exist."""
    try:
        exists = folders.locate(name).exists()
    except OutsideFolderError:
        exists = False
    return None if exists else f"Invalid image file: {name}"


def image_digest(folders: Folders, name: str) -> str:
    """Return what tells two contents of one input file apart."""
    return file_digest(folders.locate(name))


def load_image(context: Context, image: str) -> tuple[Batch, Batch]:
    """Read a picture of any format Pillow knows: upright, RGB, one picture per frame."""
    path = context.folders.locate(image)
    if not path.exists():
        raise MissingFileError(2, "No such file or directory", str(path))
    pictures, masks = [], []
    with Image.open(path) as source:
        for frame in ImageSequence.Iterator(source):
            picture = _eight_bit(ImageOps.exif_transpose(frame))
            pictures.append(picture.convert("RGB"))
            masks.append(_mask(picture))
    same_size = [index for index, picture in enumerate(pictures) if picture.size == pictures[0].size]
    return [pictures[index] for index in same_size], [masks[index] for index in same_size]


def _eight_bit(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return picture


def _mask(picture: Image.Image) -> Image.Image:
    if "A" in picture.getbands():
        return ImageOps.invert(picture.getchannel("A"))
    return Image.new("L", EMPTY_MASK)


def empty_image(context: Context, width: int, height: int, batch_size: int, color: int) -> tuple[Batch]:
    """Make pictures of one colour, given as 0xRRGGBB."""
    shade = (color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF)
    return ([Image.new("RGB", (width, height), shade) for _ in range(batch_size)],)


def scale_image(
    context: Context, image: Batch, upscale_method: str, width: int, height: int, crop: str
) -> tuple[Batch]:
    """Resize; a width or height of 0 follows the other one, both 0 change nothing."""
    if width == 0 and height == 0:
        return (image,)
    old_width, old_height = image[0].size
    size = (
        width or max(1, round(old_width * height / old_height)),
        height or max(1, round(old_height * width / old_width)),
    )
    return (_resize(image, size, upscale_method, crop=crop == "center"),)


def scale_image_to_total_pixels(
    context: Context, image: Batch, upscale_method: str, megapixels: float, resolution_steps: int = 1
) -> tuple[Batch]:
    """Resize to so many times 1024 x 1024 pixels, aspect ratio kept."""
    width, height = image[0].size
    factor = math.sqrt(megapixels * 1024 * 1024 / (width * height)) / resolution_steps
    size = (round(width * factor) * resolution_steps, round(height * factor) * resolution_steps)
    return (_resize(image, size, upscale_method),)


def scale_image_to_kontext_size(context: Context, image: Batch) -> tuple[Batch]:
    """Resize and centre-crop to the nearest of 17 shapes of about one megapixel."""
    width, height = image[0].size
    size = min(KONTEXT_SIZES, key=lambda size: (abs(width / height - size[0] / size[1]), size))
    return (_resize(image, size, "lanczos", crop=True),)


def _resize(image: Batch, size: Size, method: str, *, crop: bool = False) -> Batch:
    resampling = RESAMPLING[method]
    if crop:
        return [ImageOps.fit(picture, size, resampling) for picture in image]
    return [picture.resize(size, resampling) for picture in image]


def invert_image(context: Context, image: Batch) -> tuple[Batch]:
    """Turn every colour into its opposite."""
    return ([ImageOps.invert(picture) for picture in image],)


def encode_edit_prompt(
    context: Context,
    clip: Weights,
    prompt: str,
    vae: Weights | None = None,
    image1: Batch | None = None,
    image2: Batch | None = None,
    image3: Batch | None = None,
) -> tuple[Conditioning]:
    """Join a prompt with the pictures it speaks about."""
    return (Conditioning(prompt, tuple(batch[0] for batch in (image1, image2, image3) if batch)),)


def set_reference_method(
    context: Context, conditioning: Conditioning, reference_latents_method: str
) -> tuple[Conditioning]:
    """Stand for a setting that only the model would notice."""
    return (conditioning,)


def encode_image(context: Context, pixels: Batch, vae: Weights) -> tuple[Latent]:
    """Start from pictures; what does not fill a latent pixel is cut off, as the VAE does."""
    return (Latent(_latent_size(*pixels[0].size), tuple(pixels)),)


def empty_latent(context: Context, width: int, height: int, batch_size: int) -> tuple[Latent]:
    """Start from nothing but a size."""
    return (Latent(_latent_size(width, height), (None,) * batch_size),)


def _latent_size(width: int, height: int) -> Size:
    return max(1, width // LATENT_STEP) * LATENT_STEP, max(1, height // LATENT_STEP) * LATENT_STEP


def sample(
    context: Context,
    model: Weights,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: float = 1.0,
) -> tuple[Latent]:
    """Apply the filters in place of the model, and take the time of `steps` steps for it."""
    started = time.monotonic()
    pictures = [
        filters.edit(
            positive.references or tuple(filter(None, [start])),
            prompt=positive.prompt,
            size=latent_image.size,
            seed=seed + number,
        )
        for number, start in enumerate(latent_image.pictures)
    ]
    pace(context, steps, pictures[0], started=started)
    return (replace(latent_image, pictures=tuple(pictures)),)


def pace(context: Context, steps: int, picture: Image.Image, *, started: float | None = None) -> None:
    """Take the time of `steps` steps since `started` (of the monotonic clock; now), and report each."""
    started = time.monotonic() if started is None else started
    for step in range(1, steps + 1):
        if (left := started + step * context.seconds_per_step - time.monotonic()) > 0:
            time.sleep(left)
        context.progress(step, steps, picture)


def decode_latent(context: Context, samples: Latent, vae: Weights) -> tuple[Batch]:
    """Return the pictures of a latent; one that was never sampled is grey."""
    return ([picture or Image.new("RGB", samples.size, "gray") for picture in samples.pictures],)


def save_image(context: Context, images: Batch, filename_prefix: str = "ComfyUI") -> dict[str, Any]:
    """Write the pictures as PNG into the output folder, numbered after the files that exist."""
    return _save(context, images, "output", filename_prefix, context.png_compression)


def preview_image(context: Context, images: Batch) -> dict[str, Any]:
    """Write the pictures as PNG into the temp folder."""
    letters = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 - a name, not a secret
    return _save(context, images, "temp", f"ComfyUI_temp_{letters}", PREVIEW_COMPRESSION)


def _save(context: Context, images: Batch, kind: str, prefix: str, compression: int) -> dict[str, Any]:
    metadata = PngInfo()
    for key, text in context.png_metadata().items():
        metadata.add_text(key, text)
    shown = []
    results = context.folders.new_results(kind, prefix, images[0].size)
    for number, picture in enumerate(images):
        path, filename, subfolder = next(results)
        filename = filename.replace("%batch_num%", str(number))
        _write_png(picture, path.with_name(filename), metadata, compression)
        shown.append({"filename": filename, "subfolder": subfolder, "type": kind})
    return {"images": shown}


def _write_png(picture: Image.Image, path: Path, metadata: PngInfo, compression: int) -> None:
    picture.save(path, format="PNG", pnginfo=metadata, compress_level=compression)
