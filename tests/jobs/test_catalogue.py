"""The shipped catalogue is complete and in good taste; a broken one is refused with every mistake named."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.catalogue import Catalogue, CatalogueError, read_catalogue
from qwenedit.errors import DomainError

HAIR_AND_BEARD_COUNTS = {
    "women-hair-short": 9,
    "women-hair-medium": 9,
    "women-hair-long": 8,
    "women-fringes": 6,
    "women-updos": 7,
    "women-braids": 7,
    "women-styling": 9,
    "men-hair-short": 7,
    "men-hair-medium": 7,
    "men-hair-long": 6,
    "men-beard-none": 3,
    "men-beard-short": 5,
    "men-beard-medium": 5,
    "men-beard-long": 5,
    "men-moustache": 8,
}
STYLE_COUNTS = {
    "painters": 6,
    "techniques": 12,
    "comics": 5,
    "cartoons": 5,
    "anime": 5,
    "fantasy": 7,
    "photography": 10,
    "digital": 4,
}
KEEPS_SOMETHING = re.compile(
    r"\b(keep|keeping|preserve|leave|unchanged|untouched|intact|same|remain|stay|stays|retain)\b",
    re.IGNORECASE,
)
# Living artists, and studios, publishers and franchises whose look is theirs.
NOT_TO_BE_NAMED = re.compile(
    r"\b(ghibli|miyazaki|shinkai|toei|kyoto animation|mihoyo|genshin|pokemon|naruto|pixar|disney|dreamworks|"
    r"nickelodeon|warner|looney|hanna-barbera|simpsons|tom and jerry|marvel|dc comics|batman|superman|"
    r"spider-?man|tintin|alex ross|frank miller|mignola|jim lee|star wars|tolkien|warhammer|diablo|blizzard|"
    r"warcraft|league of legends|rutkowski|alan lee|john howe|boris vallejo|artgerm|wlop|loish|sakimichan|"
    r"kuvshinov|beeple|leibovitz|lachapelle|mccurry|salgado|testino|banksy|hockney|kusama|hirst|koons|"
    r"murakami)\b",
    re.IGNORECASE,
)
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
PERSON = {"ru": "Человек", "en": "The person"}
PROMPT = "Turn the photo into a careful pencil drawing on paper. Keep the face and the pose unchanged."


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue()


def preset(slug: str = "pencil", **changes: Any) -> dict[str, Any]:
    entry = {"slug": slug, "title": {"ru": f"Рисунок {slug}", "en": f"Drawing {slug}"}, "icon": "🎨"}
    return entry | {"prompt": f"{slug.capitalize()}. {PROMPT}"} | changes


def category(slug: str = "styles", **changes: Any) -> dict[str, Any]:
    return {"slug": slug, "title": {"ru": f"Стили {slug}", "en": f"Styles {slug}"}, "icon": "🖼️"} | changes


def write(folder: Path, name: str, node: object) -> None:
    (folder / name).write_text(yaml.safe_dump(node, allow_unicode=True), encoding="utf-8")


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(CatalogueError) as refused:
        read_catalogue(folder)
    return list(refused.value.problems)


class TestShippedCatalogue:
    def test_offers_at_least_150_presets(self, catalogue: Catalogue) -> None:
        assert len(catalogue.presets) >= 150

    def test_shows_the_main_menu_in_its_order(self, catalogue: Catalogue) -> None:
        roots = [category for category in catalogue.categories if category.parent is None]
        assert [(root.icon, root.title_ru, root.title_en) for root in roots] == [
            ("🎨", "Художественные стили", "Art styles"),
            ("🧝", "Изменить образ", "New look"),
            ("👕", "Примерочная", "Fitting room"),
            ("✨", "Редактировать фото", "Edit photo"),
            ("✍️", "Свой промпт", "Own prompt"),
        ]
        assert [root.sort_order for root in roots] == [1, 2, 3, 4, 5]

    def test_lists_every_category_after_its_parent(self, catalogue: Catalogue) -> None:
        seen: set[str | None] = {None}
        for category in catalogue.categories:
            assert category.parent in seen
            seen.add(category.slug)
        assert {preset.category for preset in catalogue.presets} <= seen

    @pytest.mark.parametrize(
        ("slug", "count"), (HAIR_AND_BEARD_COUNTS | STYLE_COUNTS | {"edit": 13, "own-prompt": 0}).items()
    )
    def test_each_category_has_its_number_of_presets(
        self, catalogue: Catalogue, slug: str, count: int
    ) -> None:
        assert slug in {category.slug for category in catalogue.categories}
        assert sum(preset.category == slug for preset in catalogue.presets) == count

    def test_hair_and_beards_stand_under_women_and_men(self, catalogue: Catalogue) -> None:
        parents = {category.slug: category.parent for category in catalogue.categories}
        for slug in HAIR_AND_BEARD_COUNTS:
            beard = slug.startswith("men-beard-") or slug == "men-moustache"
            person = slug.partition("-")[0]
            assert parents[slug] == ("men-beard" if beard else f"{person}-hair")
            assert parents[parents[slug] or ""] == person
            assert parents[person] == "look"

    def test_slugs_are_unique_and_fit_callback_data(self, catalogue: Catalogue) -> None:
        slugs = [entry.slug for entry in (*catalogue.categories, *catalogue.presets)]
        assert [slug for slug, uses in Counter(slugs).items() if uses > 1] == []
        assert [slug for slug in slugs if len(slug) > 40 or not re.fullmatch(r"[a-z0-9-]+", slug)] == []

    def test_every_title_is_in_both_languages(self, catalogue: Catalogue) -> None:
        for entry in (*catalogue.categories, *catalogue.presets):
            assert CYRILLIC.search(entry.title_ru), entry
            assert not CYRILLIC.search(entry.title_en), entry
            assert 0 < len(entry.title_ru) <= 40, entry
            assert 0 < len(entry.title_en) <= 40, entry

    def test_prompts_are_individual(self, catalogue: Catalogue) -> None:
        openings = Counter(preset.prompt.split(": ")[-1][:60].casefold() for preset in catalogue.presets)
        assert [opening for opening, uses in openings.items() if uses > 1] == []

    def test_prompts_are_one_to_three_finished_sentences(self, catalogue: Catalogue) -> None:
        for preset in catalogue.presets:
            assert 60 <= len(preset.prompt) <= 500, preset.slug
            assert preset.prompt.endswith("."), preset.slug
            assert 1 <= len(re.findall(r"[.!?](?= [A-Z]|$)", preset.prompt)) <= 3, preset.slug

    def test_every_prompt_says_what_stays(self, catalogue: Catalogue) -> None:
        assert [
            preset.slug for preset in catalogue.presets if not KEEPS_SOMETHING.search(preset.prompt)
        ] == []

    def test_hair_and_beard_presets_keep_face_identity_and_hair_colour(self, catalogue: Catalogue) -> None:
        for preset in catalogue.presets:
            if preset.category in HAIR_AND_BEARD_COUNTS:
                assert re.search(r"\b(face|facial)\b", preset.prompt, re.IGNORECASE), preset.slug
                assert "identity" in preset.prompt, preset.slug
                assert "hair colour" in preset.prompt, preset.slug

    def test_names_no_living_artist_and_no_studio(self, catalogue: Catalogue) -> None:
        for preset in catalogue.presets:
            text = f"{preset.slug} {preset.title_en} {preset.prompt}"
            assert NOT_TO_BE_NAMED.search(text) is None, preset.slug

    def test_only_the_fitting_room_takes_two_photos(self, catalogue: Catalogue) -> None:
        fitting = [preset for preset in catalogue.presets if preset.category == "fitting-room"]
        assert len(fitting) >= 6
        for preset in catalogue.presets:
            assert preset.photos == (2 if preset in fitting else 1), preset.slug
            assert len(preset.photo_titles) == (2 if preset in fitting else 0), preset.slug
            assert ("picture 1" in preset.prompt and "picture 2" in preset.prompt) == (preset in fitting), (
                preset.slug
            )


class TestReading:
    def test_reads_the_tree_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        painters = category("painters", presets=[preset("van-gogh", price=45), preset("monet")])
        write(tmp_path, "a.yaml", category("look", order=2, presets=[preset("pixie")]))
        write(tmp_path, "b.yaml", category("styles", order=1, children=[category("comics"), painters]))

        catalogue = read_catalogue(tmp_path)

        assert [(entry.slug, entry.parent, entry.sort_order) for entry in catalogue.categories] == [
            ("styles", None, 1),
            ("comics", "styles", 1),
            ("painters", "styles", 2),
            ("look", None, 2),
        ]
        assert [
            (entry.slug, entry.category, entry.sort_order, entry.price, entry.photos)
            for entry in catalogue.presets
        ] == [
            ("van-gogh", "painters", 1, 45, 1),
            ("monet", "painters", 2, None, 1),
            ("pixie", "look", 1, None, 1),
        ]

    @pytest.mark.parametrize("icon", ["🎨", "✍️", "👩🏽‍🦱", "💇‍♀️", "〰️", "⚫"])
    def test_accepts_one_emoji_of_any_build_as_icon(self, tmp_path: Path, icon: str) -> None:
        write(tmp_path, "a.yaml", category(order=1, icon=icon))
        assert read_catalogue(tmp_path).categories[0].icon == icon

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"slug": "Pixie_Cut"}, "slug: expected lower-case ASCII letters, digits and single hyphens"),
            ({"slug": "p" * 41}, "slug: 41 characters, at most 40 fit"),
            ({"title": {"ru": "Рисунок"}}, "title: expected exactly the languages ru and en"),
            ({"title": {"ru": "Drawing", "en": "Drawing"}}, "title.ru: has no Cyrillic letter"),
            ({"title": {"ru": "Рисунок", "en": "Рисунок"}}, "title.en: has Cyrillic letters"),
            ({"title": {"ru": "Рисунок", "en": True}}, "title.en: expected text"),
            ({"title": {"ru": "Я" * 41, "en": "Drawing"}}, "title.ru: 41 characters, at most 40 fit"),
            ({"icon": "🎨🎨"}, "icon: expected one emoji"),
            ({"icon": "A"}, "icon: expected one emoji"),
            ({"icon": None}, "icon: expected text"),
            ({"prompt": "Keep the face."}, "prompt: 14 characters, at least 60 are needed"),
            ({"prompt": PROMPT + " Keep it." * 50}, "prompt: 542 characters, at most 500 fit"),
            ({"prompt": PROMPT.rstrip(".")}, "prompt: expected a full stop at the end"),
            ({"prompt": "Нарисуй. " + PROMPT}, "prompt: expected English, found Cyrillic letters"),
            ({"prompt": PROMPT.replace(". ", ".\n")}, "prompt: has line breaks or spare spaces"),
            ({"photos": 4}, "photos: expected a whole number from 1 to 3, found 4"),
            ({"photos": True}, "photos: expected a whole number from 1 to 3, found True"),
            (
                {"photos": 2, "prompt": "In picture 1, " + PROMPT, "photo_titles": [PERSON, PERSON]},
                "prompt: never mentions 'picture 2', though the preset takes 2 photos",
            ),
            (
                {"photos": 2, "prompt": "In picture 1 and picture 2, " + PROMPT},
                "photo_titles: 0 given, expected one for each of 2 photos",
            ),
            (
                {"photo_titles": [PERSON, PERSON]},
                "photo_titles: 2 given, expected one for each of 1 photos",
            ),
            (
                {"photo_titles": [{"ru": "Человек"}]},
                "photo_titles[1]: expected exactly the languages ru and en",
            ),
            (
                {"photo_titles": [{"ru": "Human", "en": "Human"}]},
                "photo_titles[1].ru: has no Cyrillic letter",
            ),
            ({"price": 0}, "price: expected a whole number from 1, found 0"),
            ({"price": "30"}, "price: expected a whole number from 1, found '30'"),
            ({"promt": PROMPT}, "unknown field 'promt'"),
        ],
    )
    def test_refuses_a_preset_with_one_mistake(
        self, tmp_path: Path, changes: dict[str, Any], problem: str
    ) -> None:
        entry = preset() | changes
        write(tmp_path, "styles.yaml", category(order=1, presets=[entry]))
        assert problems_of(tmp_path) == [f"styles.yaml: {entry['slug']}: {problem}"]

    def test_names_every_missing_field(self, tmp_path: Path) -> None:
        write(tmp_path, "styles.yaml", {"presets": [{"slug": "pencil"}]})
        assert sorted(problems_of(tmp_path)) == [
            "styles.yaml: pencil: icon: is missing",
            "styles.yaml: pencil: prompt: is missing",
            "styles.yaml: pencil: title: expected exactly the languages ru and en",
            "styles.yaml: top level: icon: is missing",
            "styles.yaml: top level: order: is missing",
            "styles.yaml: top level: slug: is missing",
            "styles.yaml: top level: title: expected exactly the languages ru and en",
        ]

    def test_reports_the_problems_of_all_files_at_once(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            "a.yaml",
            category("styles", order=1, children="painters", presets=[preset("pencil", photos=0), "ink"]),
        )
        write(tmp_path, "b.yaml", category("look", order=1, icon="?", presets=[preset("pencil")]))
        write(tmp_path, "c.yaml", ["not", "a", "mapping"])
        (tmp_path / "d.yaml").write_text("slug: [unclosed", encoding="utf-8")
        (tmp_path / "e.yaml").write_text("slug: edit\nicon: 🎨\nslug: again\n", encoding="utf-8")
        (tmp_path / "f.yaml").write_bytes(b"slug: \xff\xfe")
        (tmp_path / "g.yaml").write_text("slug: 2024-13-45", encoding="utf-8")

        problems = problems_of(tmp_path)

        expected = [
            "a.yaml: pencil: photos: expected a whole number from 1 to 3, found 0",
            "a.yaml: preset 2 of styles: expected a mapping of fields",
            "a.yaml: styles: children: expected a list",
            "b.yaml: look: icon: expected one emoji",
            "b.yaml: look: order: the same as in top level (a.yaml)",
            "b.yaml: pencil: prompt: the same as in preset 1 of styles (a.yaml)",
            "b.yaml: pencil: slug: the same as in preset 1 of styles (a.yaml)",
            "c.yaml: top level: expected a mapping of fields",
        ]
        assert sorted(problem for problem in problems if problem[0] in "abc") == expected
        unreadable = [problem for problem in problems if problem[0] in "defg"]
        assert len(unreadable) == 4
        assert unreadable[0].startswith("d.yaml: ")
        assert unreadable[1].startswith("e.yaml: key 'slug' is repeated")
        assert "line 3" in unreadable[1]
        assert unreadable[2].startswith("f.yaml: ")
        assert unreadable[3].startswith("g.yaml: ")
        assert not any("\n" in problem for problem in problems)

    def test_refuses_two_buttons_of_one_menu_that_read_alike(self, tmp_path: Path) -> None:
        alike = preset("ink", title={"ru": "РИСУНОК pencil", "en": "Ink"})
        write(tmp_path, "styles.yaml", category(order=1, presets=[preset("pencil"), alike]))
        assert problems_of(tmp_path) == [
            "styles.yaml: ink: title.ru in styles: the same as in preset 1 of styles (styles.yaml)"
        ]

    def test_refuses_a_slug_shared_by_a_category_and_a_preset(self, tmp_path: Path) -> None:
        write(tmp_path, "styles.yaml", category("styles", order=1, presets=[preset("styles")]))
        assert problems_of(tmp_path) == ["styles.yaml: styles: slug: the same as in top level (styles.yaml)"]

    def test_refuses_a_folder_without_files(self, tmp_path: Path) -> None:
        assert problems_of(tmp_path) == [f"{tmp_path}: no YAML files here"]

    def test_the_refusal_is_an_expected_error_that_lists_its_problems(self, tmp_path: Path) -> None:
        write(tmp_path, "styles.yaml", category(order=1, icon="x", presets=[preset(price=-1)]))
        with pytest.raises(DomainError, match="pencil: price") as refused:
            read_catalogue(tmp_path)
        assert refused.value.code == "invalid_catalogue"
        assert not refused.value.retryable
        assert len(refused.value.extra["problems"]) == 2
        assert all(problem in refused.value.message for problem in refused.value.extra["problems"])
