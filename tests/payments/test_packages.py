"""Top-up packages: the file, the rows made of it, and that staff's edits survive."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from payments.models import Package
from payments.packages import Changes, PackageData, PackagesError, read_packages, sync_packages
from payments.services import offer_for

pytestmark = pytest.mark.django_db


def on_offer() -> list[tuple[int, int]]:
    return list(Package.objects.filter(is_active=True).values_list("rubles", "bonus_percent"))


def load() -> str:
    answer = StringIO()
    call_command("load_packages", stdout=answer)
    return answer.getvalue().strip()


def test_the_packages_on_offer_are_the_agreed_ones() -> None:
    assert load() == "6 packages on offer: 6 new, 0 updated, 0 retired"
    assert on_offer() == [(100, 0), (300, 0), (500, 5), (1000, 7), (2000, 10), (5000, 15)]


def test_what_a_package_promises_is_what_a_top_up_brings(settings: Any) -> None:
    load()
    assert settings.POINTS_PER_RUBLE == 10
    offers = [offer_for(rubles).points for rubles in (100, 300, 500, 1000, 2000, 5000, 501)]
    assert offers == [1000, 3000, 5250, 10700, 22000, 57500, 5010]


def test_loading_again_changes_nothing() -> None:
    load()
    before = list(Package.objects.values())
    assert load() == "6 packages on offer: 0 new, 0 updated, 0 retired"
    assert list(Package.objects.values()) == before


def test_what_staff_edited_survives() -> None:
    load()
    Package.objects.filter(rubles=500).update(bonus_percent=50, is_customised=True)
    Package.objects.filter(rubles=100).update(is_active=False, is_customised=True)
    Package.objects.create(rubles=700, bonus_percent=6, is_customised=True)
    load()
    assert {(500, 50), (700, 6)} <= set(on_offer())
    assert 100 not in dict(on_offer())


def test_a_change_of_the_file_reaches_rows_that_nobody_edited() -> None:
    sync_packages([PackageData(100, 0), PackageData(200, 0)])
    assert sync_packages([PackageData(200, 3), PackageData(300, 4)]) == Changes(1, 1, 1)
    assert on_offer() == [(200, 3), (300, 4)]
    assert sync_packages([PackageData(100, 1)]) == Changes(0, 1, 2)
    assert on_offer() == [(100, 1)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a list"),
        ("rubles: 100", "expected a list"),
        ("- 100", "package 1: expected a mapping"),
        ("- {bonus_percent: 1}", "package 1: rubles is 0"),
        ("- {rubles: 1}\n- {rubles: ten}", "package 2: rubles is 'ten'"),
        ("- {rubles: true}", "package 1: rubles is True"),
        ("- {rubles: 1, bonus_percent: -1}", "bonus_percent is -1"),
        ("- {rubles: 1, bonus: 1}", "unknown field 'bonus'"),
        ("- {rubles: 1}\n- {rubles: 1}", "two packages of the same rubles"),
        ("- {rubles: [1]}\n- {rubles: 1", "packages.yaml"),
    ],
)
def test_a_file_with_mistakes_is_refused_with_their_place(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "packages.yaml"
    file.write_text(text)
    with pytest.raises(PackagesError) as refusal:
        read_packages(file)
    assert problem in refusal.value.message
