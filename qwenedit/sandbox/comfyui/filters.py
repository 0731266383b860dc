"""The honest substitute of the model: classical filters chosen by words of the prompt.

Owns: which words choose which filter, the filters, how several pictures are composed, and the badge
that says no model was at work. Pure functions of their arguments: the same picture, prompt and seed give
the same pixels, another seed gives visibly others. Must not know nodes, files or servers.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

BADGE = "SANDBOX – no model"
MOST_STYLES = 3
CARTOON_COLOURS = 40
INSET_SHARE = 0.27
SMALLEST_TEXT, TEXT_SHARE = 5, 26
DARK, LIGHT = (20, 20, 24), (255, 255, 255)

Size = tuple[int, int]
Filter = Callable[[Image.Image], Image.Image]


def edit(references: Sequence[Image.Image], *, prompt: str, size: Size, seed: int) -> Image.Image:
    """Return what stands for the edit: the first picture large, the others as labelled insets, all filtered.

    The result is RGB, exactly `size`, and wears the badge. Without any picture it is a plain backdrop.
    """
    chance = random.Random(seed)  # noqa: S311 - reproducible by design
    apply = _in_sequence([style.apply for style in styles_for(prompt)] or [mild])
    if references:
        canvas = ImageOps.fit(references[0].convert("RGB"), size, Image.Resampling.BICUBIC)
    else:
        canvas = _backdrop(size)
    canvas = apply(_channels(canvas, *(chance.uniform(0.93, 1.07) for _ in "rgb")))
    centre = (chance.uniform(0.1, 0.9), chance.uniform(0.1, 0.9))
    canvas = ImageChops.multiply(canvas, _spot(size, centre, low=205, high=255))
    _add_insets(canvas, [apply(_inset(picture, size)) for picture in references[1:]])
    _label(canvas, BADGE, corner="bottom left")
    return canvas


def styles_for(prompt: str) -> "list[Style]":
    """Return the styles a prompt asks for, at most three, in the order of `STYLES`.

    Clauses about what shall stay ("keep the face sharp", "не меняй фон") ask for nothing.
    """
    clauses = re.split(r"[.;\n]", prompt.lower().replace("ё", "е"))
    wish = ". ".join(clause for clause in clauses if not _ABOUT_KEEPING.match(clause.strip()))
    return [style for style in STYLES if style.words.search(wish)][:MOST_STYLES]


_ABOUT_KEEPING = re.compile(r"(please )?(keep|preserve|maintain|do not|don't|without|сохран|оставь|не )")


# Filters: RGB in, RGB of the same size out


def mild(picture: Image.Image) -> Image.Image:
    """Brighten up a little: what happens to a prompt without any known word."""
    return ImageEnhance.Contrast(ImageEnhance.Color(picture).enhance(1.15)).enhance(1.08)


def black_and_white(picture: Image.Image) -> Image.Image:
    """Take the colours away."""
    return ImageOps.autocontrast(picture.convert("L"), cutoff=1).convert("RGB")


def pencil_sketch(picture: Image.Image) -> Image.Image:
    """Draw dark lines where brightness falls, over pale shading."""
    grey = ImageOps.autocontrast(picture.convert("L"), cutoff=1)
    lines = ImageChops.subtract(grey, grey.filter(ImageFilter.BoxBlur(6)), scale=0.35, offset=255)
    shading = grey.point(lambda value: 190 + value // 4)
    return ImageChops.multiply(lines, shading).convert("RGB")


def oil_painting(picture: Image.Image) -> Image.Image:
    """Merge pixels into strokes of the most frequent colour."""
    strokes = _at_a_third(picture, lambda small: small.filter(ImageFilter.ModeFilter(5)))
    relief = strokes.filter(ImageFilter.EDGE_ENHANCE_MORE)
    return ImageEnhance.Color(Image.blend(strokes, relief, 0.45)).enhance(1.3)


def watercolour(picture: Image.Image) -> Image.Image:
    """Let the colours flow together and bleach, with darker pigment along the edges."""
    washes = _at_a_third(picture, lambda small: small.filter(ImageFilter.MedianFilter(5)))
    pale = Image.blend(ImageEnhance.Color(washes).enhance(1.4), Image.new("RGB", picture.size, LIGHT), 0.28)
    edges = ImageOps.invert(washes.convert("L").filter(ImageFilter.FIND_EDGES)).point(
        lambda value: 128 + value // 2
    )
    return ImageChops.multiply(pale, edges.convert("RGB"))


def cartoon(picture: Image.Image) -> Image.Image:
    """Few flat colours inside dark outlines."""
    flat = _at_a_third(picture, lambda small: _flat_colours(small.filter(ImageFilter.MedianFilter(5))))
    flat = ImageEnhance.Color(flat).enhance(1.6)
    grey = picture.convert("L").filter(ImageFilter.BoxBlur(1))
    outline = ImageChops.subtract(grey, grey.filter(ImageFilter.BoxBlur(4)), scale=0.12, offset=255)
    return ImageChops.multiply(ImageEnhance.Brightness(flat).enhance(1.15), outline.convert("RGB"))


def sepia(picture: Image.Image) -> Image.Image:
    """The brown of an old print."""
    return ImageOps.colorize(
        ImageOps.autocontrast(picture.convert("L"), cutoff=1), "#20130a", "#f6e6c8", "#a07e55"
    )


def warm(picture: Image.Image) -> Image.Image:
    """Sunlight: more red, less blue."""
    return _channels(ImageEnhance.Contrast(picture).enhance(1.05), 1.18, 1.03, 0.74)


def cold(picture: Image.Image) -> Image.Image:
    """Winter light: more blue, less red."""
    return _channels(ImageEnhance.Color(picture).enhance(0.85), 0.82, 0.98, 1.22)


def night(picture: Image.Image) -> Image.Image:
    """Dark, blue, darker still towards the corners."""
    dusk = _channels(ImageEnhance.Color(picture).enhance(0.6), 0.38, 0.46, 0.72)
    return ImageChops.multiply(dusk, _spot(picture.size, (0.5, 0.45), low=90, high=255))


def soft_focus(picture: Image.Image) -> Image.Image:
    """Blur."""
    return picture.filter(ImageFilter.GaussianBlur(max(2, min(picture.size) / 150)))


def sharpen(picture: Image.Image) -> Image.Image:
    """Clean contrast and crisp edges."""
    clean = ImageOps.autocontrast(picture, cutoff=0.5)
    return clean.filter(ImageFilter.UnsharpMask(radius=2.5, percent=150, threshold=2))


def vivid(picture: Image.Image) -> Image.Image:
    """Strong colours."""
    return ImageEnhance.Contrast(ImageEnhance.Color(picture).enhance(1.9)).enhance(1.15)


def negative(picture: Image.Image) -> Image.Image:
    """Every colour turned into its opposite."""
    return ImageOps.invert(picture)


@dataclass(frozen=True)
class Style:
    """A filter and the words that ask for it, in English and Russian (ё written as е)."""

    name: str
    words: re.Pattern[str]
    apply: Filter


def _style(name: str, apply: Filter, words: str) -> Style:
    return Style(name, re.compile(rf"\b(?:{words})"), apply)


# fmt: off
STYLES = [
    _style("sharpen", sharpen, r"sharpen|improve (?:the )?quality|enhance|restore|upscale|high.resolution"
           r"|резк|улучш|качеств|восстанов|реставр|четк"),
    _style("oil", oil_painting, r"oil|impasto|van gogh|monet|klimt|brush ?strokes?|painterly|painted"
           r"|масл|ван гог|мазк|живопис"),
    _style("watercolour", watercolour, r"water ?colou?r|pastel|акварел|пастел"),
    _style("cartoon", cartoon, r"cartoon|comic|anime|manga|cel.shad|pop.art|superhero"
           r"|мульт|комикс|аниме|манг"),
    _style("pencil", pencil_sketch, r"pencil|sketch|charcoal|engraving|line ?art|line drawing|ink\b"
           r"|карандаш|скетч|наброс|эскиз|углем|гравюр|тушь"),
    _style("vivid", vivid, r"vivid|vibrant|saturated|neon|colou?rful|colou?ri[sz]e|ярк|насыщ|неон|раскрас"),
    _style("warm", warm, r"warm|golden hour|sunset|sunrise|autumn|тепл|золот|закат|рассвет|осен"),
    _style("cold", cold, r"cold|winter|snow|frost|icy\b|холод|зим|снег|снеж|мороз"),
    _style("night", night, r"night|moonlight|moonlit|midnight|ноч|лунн"),
    _style("soft", soft_focus, r"blur|soft|dreamy|haze|размы|мягк|дымк"),
    _style("sepia", sepia, r"sepia|vintage|daguerreotype|сепи|винтаж|старинн|ретро"),
    _style("black and white", black_and_white, r"black.and.white|monochrome|b&w|gr[ae]yscale|noir"
           r"|черно.бел|монохром|нуар"),
    _style("negative", negative, r"invert|negative film|negative of|инверт|негатив"),
]
# fmt: on


# Building blocks


def _in_sequence(filters: Sequence[Filter]) -> Filter:
    def apply(picture: Image.Image) -> Image.Image:
        for one in filters:
            picture = one(picture)
        return picture

    return apply


def _at_a_third(picture: Image.Image, apply: Filter) -> Image.Image:
    """Apply a filter whose strokes shall be wide, and whose cost grows fast with the number of pixels."""
    small = picture.reduce(3) if min(picture.size) >= 3 else picture
    return apply(small).resize(picture.size, Image.Resampling.BICUBIC)


def _flat_colours(picture: Image.Image) -> Image.Image:
    few = picture.quantize(CARTOON_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return few.convert("RGB")


def _channels(picture: Image.Image, red: float, green: float, blue: float) -> Image.Image:
    tables = [[min(255, round(value * gain)) for value in range(256)] for gain in (red, green, blue)]
    return picture.point([*tables[0], *tables[1], *tables[2]])


def _spot(size: Size, centre: tuple[float, float], *, low: int, high: int) -> Image.Image:
    """A picture that is `high` at `centre` (shares of width and height) and falls to `low` far from it."""
    gradient = Image.radial_gradient("L").point(
        lambda value: round(high - (high - low) * min(1.0, value / 255))
    )
    left, top = 64 - (centre[0] - 0.5) * 128, 64 - (centre[1] - 0.5) * 128
    return gradient.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + 128, top + 128)).convert(
        "RGB"
    )


def _backdrop(size: Size) -> Image.Image:
    return ImageOps.colorize(Image.linear_gradient("L").resize(size), "#5b7590", "#d8c8ae")


def _inset(picture: Image.Image, size: Size) -> Image.Image:
    side = max(8, round(min(size) * INSET_SHARE))
    return ImageOps.contain(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC)


def _add_insets(canvas: Image.Image, insets: Sequence[Image.Image]) -> None:
    """Put the further pictures along the right edge, each with a frame and its number."""
    margin = max(2, min(canvas.size) // 60)
    top = margin
    for number, inset in enumerate(insets, start=2):
        framed = ImageOps.expand(inset, border=max(1, margin // 3), fill=LIGHT)
        _label(framed, str(number), corner="top left")
        canvas.paste(framed, (canvas.width - framed.width - margin, top))
        top += framed.height + margin


def _label(canvas: Image.Image, text: str, *, corner: str) -> None:
    """Write light text on a dark strip, in a size that fits the picture."""
    font_size = max(SMALLEST_TEXT, min(canvas.size) // (TEXT_SHARE if len(text) > 2 else 8))
    while font_size > SMALLEST_TEXT and _strip(text, font_size).width > canvas.width:
        font_size -= 1
    strip = _strip(text, font_size)
    canvas.paste(strip, (0, canvas.height - strip.height if corner == "bottom left" else 0))


def _strip(text: str, font_size: int) -> Image.Image:
    """Draw a line of text. Pillow's own font lacks the dash, so that is drawn as a bar."""
    font = ImageFont.load_default(font_size)
    padding = max(1, font_size // 3)
    dash = font_size * 0.55
    parts = text.split("–")
    width = sum(font.getlength(part) for part in parts) + dash * (len(parts) - 1) + 2 * padding
    ascent, descent = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (font_size, 0)
    strip = Image.new("RGB", (round(width), ascent + descent + padding), DARK)
    draw = ImageDraw.Draw(strip)
    left = float(padding)
    for number, part in enumerate(parts):
        if number:
            middle = padding / 2 + ascent * 0.66
            draw.rectangle((left, middle, left + dash, middle + max(1, font_size // 14)), fill=LIGHT)
            left += dash
        draw.text((left, padding / 2), part, font=font, fill=LIGHT)
        left += font.getlength(part)
    return strip
