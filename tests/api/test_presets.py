"""`GET /api/v1/presets/`: the catalogue, as people choose from it."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from jobs.models import Category, Preset
from tests.factories import CategoryFactory, PresetFactory

PRESETS = "/api/v1/presets/"


@pytest.fixture
def catalogue(db: None) -> None:
    """The catalogue that is shipped."""
    call_command("load_presets", stdout=StringIO())


def shelves(api: APIClient) -> dict[str, dict[str, Any]]:
    """Return the categories by slug, in the order of the answer."""
    return {category["slug"]: category for category in api.get(PRESETS).json()}


def test_lists_categories_with_their_presets(api: APIClient) -> None:
    shelf = CategoryFactory.create(slug="light", title_ru="Свет", title_en="Light", icon="💡")
    PresetFactory.create(
        category=shelf, slug="duo", title_ru="Вдвоём", title_en="Together", icon="👫", photos=2, price=45
    )
    assert api.get(PRESETS).json() == [
        {
            "slug": "light",
            "parent": None,
            "title_ru": "Свет",
            "title_en": "Light",
            "icon": "💡",
            "presets": [
                {
                    "slug": "duo",
                    "title_ru": "Вдвоём",
                    "title_en": "Together",
                    "icon": "👫",
                    "photos": 2,
                    "price": 45,
                }
            ],
        }
    ]


def test_a_preset_without_a_price_of_its_own_costs_what_an_edit_costs(api: APIClient, settings: Any) -> None:
    settings.EDIT_COST = 31
    preset = PresetFactory.create(price=None)
    assert shelves(api)[preset.category.slug]["presets"][0]["price"] == 31


def test_a_preset_that_was_withdrawn_is_not_offered(api: APIClient) -> None:
    preset = PresetFactory.create(is_active=False)
    assert shelves(api)[preset.category.slug]["presets"] == []


def test_a_shelf_inside_another_names_it(api: APIClient) -> None:
    outer = CategoryFactory.create(slug="styles")
    CategoryFactory.create(slug="painting", parent=outer)
    assert shelves(api)["painting"]["parent"] == "styles"


@pytest.mark.usefixtures("catalogue")
class TestTheShippedCatalogue:
    """What is shipped is what is served."""

    def test_every_preset_on_offer_is_listed_once(self, api: APIClient) -> None:
        listed = [preset["slug"] for shelf in shelves(api).values() for preset in shelf["presets"]]
        assert sorted(listed) == sorted(Preset.objects.on_offer().values_list("slug", flat=True))
        assert len(listed) >= 150

    def test_parents_come_before_their_children(self, api: APIClient) -> None:
        order = list(shelves(api))
        children = [shelf for shelf in shelves(api).values() if shelf["parent"]]
        assert children
        assert all(order.index(shelf["parent"]) < order.index(shelf["slug"]) for shelf in children)

    def test_the_prompts_stay_with_the_house(self, api: APIClient) -> None:
        answer = api.get(PRESETS).content.decode()
        assert not [prompt for prompt in Preset.objects.values_list("prompt", flat=True) if prompt in answer]

    def test_takes_as_many_queries_for_all_as_for_one(self, api: APIClient) -> None:
        with CaptureQueriesContext(connection) as all_of_them:
            api.get(PRESETS)
        Preset.objects.all().delete()
        Category.objects.filter(children=None).delete()
        with CaptureQueriesContext(connection) as few_of_them:
            api.get(PRESETS)
        assert len(all_of_them) <= len(few_of_them) + 1  # the first one also records the key's use
