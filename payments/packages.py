"""Brings the top-up packages of `packages.yaml` into the database, as often as one likes.

A row that staff edited in the admin is theirs: `is_customised` keeps the file's hands off it. A package that
left the file goes off offer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from django.db import transaction

from payments.models import Package
from qwenedit.errors import DomainError
from qwenedit.lib import yaml_files

PACKAGES_FILE = Path(__file__).parent / "packages.yaml"
LARGEST_BONUS = 1000  # percent


class PackagesError(DomainError):
    """The file holds mistakes; the message names every one."""

    code = "invalid_packages"


@dataclass(frozen=True)
class PackageData:
    """A package as the file has it."""

    rubles: int
    bonus_percent: int


@dataclass
class Changes:
    """How many rows a synchronisation touched."""

    created: int = 0
    updated: int = 0
    retired: int = 0


def read_packages(file: Path = PACKAGES_FILE) -> list[PackageData]:
    """Read and check the file. Raises PackagesError with all its problems at once."""
    try:
        entries = yaml_files.load(file)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PackagesError(f"{file.name}: {' '.join(str(error).split())}") from error
    if not isinstance(entries, list) or not entries:
        raise PackagesError(f"{file.name}: expected a list of packages")
    problems = [problem for number, entry in enumerate(entries, 1) for problem in _problems(number, entry)]
    if not problems and len({entry["rubles"] for entry in entries}) < len(entries):
        problems.append("two packages of the same rubles")
    if problems:
        raise PackagesError("\n".join(f"{file.name}: {problem}" for problem in problems))
    return [PackageData(entry["rubles"], entry.get("bonus_percent", 0)) for entry in entries]


@transaction.atomic
def sync_packages(packages: list[PackageData]) -> Changes:
    """Create, update and retire rows so that they say what the file says."""
    changes = Changes()
    rows: dict[int, Package] = {row.rubles: row for row in Package.objects.all()}
    for position, data in enumerate(packages, start=1):
        row = rows.pop(data.rubles, None)
        fields: dict[str, Any] = {
            "bonus_percent": data.bonus_percent,
            "sort_order": position,
            "is_active": True,
        }
        if row is None:
            Package.objects.create(rubles=data.rubles, **fields)
            changes.created += 1
        elif not row.is_customised and any(getattr(row, name) != value for name, value in fields.items()):
            Package.objects.filter(pk=row.pk).update(**fields)
            changes.updated += 1
    left = [row.pk for row in rows.values() if row.is_active and not row.is_customised]
    changes.retired = Package.objects.filter(pk__in=left).update(is_active=False)
    return changes


def _problems(number: int, entry: object) -> list[str]:
    if not isinstance(entry, dict):
        return [f"package {number}: expected a mapping of fields"]
    problems = [f"package {number}: unknown field {name!r}" for name in entry.keys() - _LIMITS.keys()]
    for name, (low, high) in _LIMITS.items():
        value = entry.get(name, 0)
        if type(value) is not int or not low <= value <= high:
            problems.append(f"package {number}: {name} is {value!r}, not a whole number from {low} to {high}")
    return problems


_LIMITS = {"rubles": (1, 10_000_000), "bonus_percent": (0, LARGEST_BONUS)}
