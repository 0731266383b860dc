"""What the documentation says of names and places is so.

Whether its sentences are true no test can tell; that a link, a command or a code is there, one can.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from jobs.catalogue import read_catalogue
from jobs.comfy.errors import ComfyError
from jobs.policy import rules
from qwenedit import settings
from qwenedit.sandbox.comfyui import faults

ROOT = settings.BASE_DIR
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("qwenedit/**/*.md")])
MAKEFILE = (ROOT / "Makefile").read_text()
MOST_README_LINES = 60

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
# A name with an underscore, or whatever is set; `KEY=$(…)` is the shell's own.
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|(?<![\w?&-])[A-Z][A-Z0-9]+(?==(?!\$\())")
MAKE_VARIABLES = set(re.findall(r"\$\((?:filter-out [^,]*,\$\()?([A-Z]+)\)", MAKEFILE))


def read(name: str) -> str:
    """Return the text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def first_cells(page: str) -> set[str]:
    """Return the words in backticks that stand in the first cells of a page's tables."""
    cells = re.findall(r"^\| (`[^|]+) \|", read(page), re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def name_of(page: Path) -> str:
    """Return a page's path as tests are named by it."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = [
        link for link in LINK.findall(page.read_text()) if "://" not in link and not link.startswith("#")
    ]
    lost = [link for link in links if not (page.parent / unquote(link.partition("#")[0])).exists()]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_variable_that_is_named_is_one_that_the_settings_read(page: Path) -> None:
    declared = {variable.name for variable in settings.env.declared}
    named = {name for code in CODE.findall(page.read_text()) for name in VARIABLE.findall(code)}
    assert {name.removesuffix("_FILE") for name in named} - declared - MAKE_VARIABLES == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_make_command_is_a_target(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    commands = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(CODE.findall(read(page)))))
    assert commands >= {"run", "test"}
    assert commands - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_management_command_exists(page: Path) -> None:
    folders = [
        path.parent for path in ROOT.glob("*/**/management/commands/__init__.py") if ".venv" not in path.parts
    ]
    ours = {path.stem for folder in folders for path in folder.glob("[a-z]*.py")}
    commands = set(re.findall(r"\bmanage\.py ([a-z_]+)", page.read_text()))
    assert commands - ours - {"check", "createsuperuser", "shell"} == set()


def test_the_readme_fits_one_screen() -> None:
    assert len(read("README.md").splitlines()) <= MOST_README_LINES


def test_the_readme_counts_the_presets_right() -> None:
    assert f"one of {len(read_catalogue().presets)} presets" in " ".join(read("README.md").split())


def test_every_decision_is_in_the_index_and_the_index_names_no_other() -> None:
    pages = {path.name for path in (ROOT / "docs" / "adr").glob("0*.md")}
    assert pages
    assert set(LINK.findall(read("docs/adr/README.md"))) == pages


def test_an_operator_finds_every_error_code_of_an_attempt() -> None:
    codes = {error.code for error in descendants(ComfyError)} | {"internal_error"}
    assert codes - first_cells("docs/operations.md") == set()


def test_the_policy_page_names_every_rule() -> None:
    assert {rule.id for rule in rules()} - first_cells("docs/policy.md") == set()


def test_the_sandbox_page_names_every_fault() -> None:
    named = {*faults.Settings.__dataclass_fields__, *faults.ACTIONS}
    assert named - first_cells("docs/sandbox.md") == set()


def test_the_picture_of_the_readme_is_small() -> None:
    assert 0 < (ROOT / "docs" / "edit.jpg").stat().st_size < 300_000


def descendants(kind: type[ComfyError]) -> Iterator[type[ComfyError]]:
    """Yield every class below `kind`."""
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)
