"""The substitute of the model changes pictures as the words say, and says that it is one."""

from collections.abc import Iterable

import pytest
from PIL import Image, ImageChops, ImageStat

from qwenedit.sandbox.comfyui.filters import BADGE, STYLES, edit, styles_for
from tests.sandbox.comfyui.driving import picture, png

SIZE = (384, 256)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    soft = picture(png((600, 400), seed=4)).convert("RGB")
    texture = soft.resize((200, 133), Image.Resampling.NEAREST).effect_spread(4)
    return Image.blend(soft, texture.resize(soft.size, Image.Resampling.NEAREST), 0.4)


def made(photo: Image.Image, wish: str = "", seed: int = 1, size: tuple[int, int] = SIZE) -> Image.Image:
    return edit([photo], prompt=wish, size=size, seed=seed)


def saturation(image: Image.Image) -> float:
    """Mean saturation above the badge."""
    width, height = image.size
    return ImageStat.Stat(image.crop((0, 0, width, height * 3 // 4)).convert("HSV")).mean[1]


def brightness(image: Image.Image) -> float:
    return ImageStat.Stat(image.convert("L")).mean[0]


def difference(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def words(wish: str) -> list[str]:
    return [style.name for style in styles_for(wish)]


@pytest.mark.parametrize(
    ("wish", "styles"),
    [
        ("Turn this photo into an oil painting.", ["oil"]),
        ("Сделай портрет маслом", ["oil"]),
        ("a watercolor of this place", ["watercolour"]),
        ("нарисуй акварелью", ["watercolour"]),
        ("Draw it as a pencil sketch", ["pencil"]),
        ("карандашный набросок", ["pencil"]),
        ("make it black and white", ["black and white"]),
        ("сделай чёрно-белым", ["black and white"]),
        ("as a comic book page", ["cartoon"]),
        ("в стиле аниме", ["cartoon"]),
        ("golden hour light", ["warm"]),
        ("тёплый закат", ["warm"]),
        ("a cold winter day", ["cold"]),
        ("ночной город", ["night"]),
        ("improve the quality", ["sharpen"]),
        ("улучши качество", ["sharpen"]),
        ("мягкий свет", ["soft"]),
        ("sepia, like a vintage card", ["sepia"]),
        ("яркие цвета", ["vivid"]),
        ("инвертируй цвета", ["negative"]),
        ("a black and white pencil sketch", ["pencil", "black and white"]),
        ("Give her a bob haircut. Keep the face sharp, the background blurred and vivid.", []),
        ("Побрей его. Не меняй яркость", []),
        ("a pink shirt", []),
    ],
)
def test_words_choose_filters(wish: str, styles: list[str]) -> None:
    assert words(wish) == styles


def test_black_and_white_has_no_colour(photo: Image.Image) -> None:
    assert saturation(made(photo)) > 60
    assert saturation(made(photo, "black and white")) < 2


def test_warm_light_is_red_and_cold_light_is_blue(photo: Image.Image) -> None:
    def redness(image: Image.Image) -> float:
        red, _, blue = ImageStat.Stat(image).mean
        return red - blue

    assert redness(made(photo, "warm")) > redness(made(photo)) > redness(made(photo, "cold"))


def test_night_is_dark(photo: Image.Image) -> None:
    assert brightness(made(photo, "night")) < 0.6 * brightness(made(photo))


def test_vivid_has_more_colour_and_a_sketch_is_bright_paper(photo: Image.Image) -> None:
    assert saturation(made(photo, "vivid")) > saturation(made(photo))
    assert brightness(made(photo, "pencil sketch")) > 150


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_every_filter_changes_the_picture_and_keeps_its_size(photo: Image.Image, style: object) -> None:
    apply = style.apply  # type: ignore[attr-defined]
    result = apply(photo)
    assert (result.mode, result.size) == ("RGB", photo.size)
    assert difference(result, photo) > 1


def test_every_filter_makes_another_picture(photo: Image.Image) -> None:
    assert len({style.apply(photo).tobytes() for style in STYLES}) == len(STYLES)


@pytest.mark.parametrize("size", [(8, 8), (64, 48), (1392, 752), (752, 1392), SIZE])
@pytest.mark.parametrize("wish", ["", "oil", "watercolour", "cartoon", "night"])
def test_the_result_has_the_size_asked_for(photo: Image.Image, size: tuple[int, int], wish: str) -> None:
    result = made(photo, wish, size=size)
    assert (result.mode, result.size) == ("RGB", size)


def test_a_seed_is_repeatable_and_another_one_visibly_different(photo: Image.Image) -> None:
    assert made(photo, seed=1).tobytes() == made(photo, seed=1).tobytes()
    for wish in ("", "black and white", "oil", "pencil sketch"):
        assert difference(made(photo, wish, seed=1), made(photo, wish, seed=2)) > 3


def test_further_pictures_appear_as_filtered_insets(photo: Image.Image) -> None:
    green, blue = Image.new("RGB", (90, 90), "lime"), Image.new("RGB", (90, 90), "blue")

    def right_edge(references: Iterable[Image.Image], wish: str = "") -> Image.Image:
        result = edit(list(references), prompt=wish, size=SIZE, seed=1)
        return result.crop((SIZE[0] - 76, 0, SIZE[0], 160))

    alone = right_edge([photo])
    with_two = right_edge([photo, green])
    with_three = right_edge([photo, green, blue])
    assert difference(alone, with_two) > 10
    assert difference(with_two, with_three) > 10
    assert with_two.getpixel((45, 45)) == (0, 255, 0)
    assert with_three.getpixel((45, 115)) == (0, 0, 255)
    red, lime, violet = right_edge([photo, green], "black and white").getpixel((45, 45))
    assert red == lime == violet


@pytest.mark.parametrize("shade", ["white", "black", "gray"])
def test_the_badge_is_legible_on_any_picture(shade: str) -> None:
    assert BADGE == "SANDBOX – no model"
    result = made(Image.new("RGB", SIZE, shade))
    corner = result.crop((0, SIZE[1] - 12, 90, SIZE[1])).convert("L")
    dark, light = corner.getextrema()
    assert dark < 40
    assert light > 200
    above = result.crop((0, 0, SIZE[0], SIZE[1] // 2)).convert("L").getextrema()
    assert above[1] - above[0] < 80


def test_without_pictures_there_is_still_a_result_with_a_badge() -> None:
    first, second = (edit([], prompt="", size=SIZE, seed=seed) for seed in (1, 2))
    assert first.size == SIZE
    assert difference(first, second) > 1
