"""Top-up packages in the admin: what staff change is theirs, until they restore it."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from payments.models import Package
from payments.packages import read_packages, sync_packages

LIST = "admin:payments_package_changelist"


@pytest.fixture
def package(db: None) -> Package:
    """The package of 500 rubles, as the file has it."""
    sync_packages(read_packages())
    return Package.objects.get(rubles=500)


def save(client: Client, package: Package, **fields: Any) -> Any:
    form = {
        "rubles": package.rubles,
        "bonus_percent": package.bonus_percent,
        "sort_order": package.sort_order,
        "is_active": "on",
    }
    return client.post(reverse("admin:payments_package_change", args=[package.pk]), form | fields)


def test_what_staff_change_survives_the_next_load(boss: Client, package: Package) -> None:
    assert save(boss, package, bonus_percent=50).status_code == 302
    sync_packages(read_packages())
    package.refresh_from_db()
    assert (package.bonus_percent, package.is_customised) == (50, True)


def test_saving_without_a_change_leaves_a_package_to_its_file(boss: Client, package: Package) -> None:
    assert save(boss, package).status_code == 302
    package.refresh_from_db()
    assert not package.is_customised


def test_a_package_that_staff_add_survives_and_shows_its_points(boss: Client, package: Package) -> None:
    form = {"rubles": 700, "bonus_percent": 6, "sort_order": 9, "is_active": "on"}
    assert boss.post(reverse("admin:payments_package_add"), form).status_code == 302
    sync_packages(read_packages())
    added = Package.objects.get(rubles=700)
    assert (added.is_active, added.is_customised) == (True, True)
    assert "7420" in boss.get(reverse("admin:payments_package_change", args=[added.pk])).text


def test_a_package_is_restored_from_the_file(boss: Client, package: Package) -> None:
    save(boss, package, bonus_percent=50)
    boss.post(reverse(LIST), {"action": "restore", "_selected_action": [package.pk]})
    package.refresh_from_db()
    assert (package.bonus_percent, package.is_customised) == (5, False)


def test_a_package_that_follows_the_file_is_not_deleted(boss: Client, package: Package) -> None:
    answer = boss.post(reverse("admin:payments_package_delete", args=[package.pk]), {"post": "yes"})
    assert answer.status_code == 403
    assert Package.objects.filter(pk=package.pk).exists()
