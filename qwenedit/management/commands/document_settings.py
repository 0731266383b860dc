"""Write docs/configuration.md from the variables that the settings declare, or check that it is current."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from qwenedit.env import Variable
from qwenedit.settings import BASE_DIR, env

PATH = BASE_DIR / "docs" / "configuration.md"
HEAD = """\
# Configuration

Every environment variable that QwenEdit reads; on a local machine all of them are optional. They may also
stand in a file `.env` beside `manage.py`; the environment wins. A secret may be mounted as a file instead:
a variable of the same name with `_FILE` added holds its path. A value that can not be read stops the start
with a message that names every such variable.

This page is made by `python manage.py document_settings`.

| variable | default | meaning |
|---|---|---|
"""


class Command(BaseCommand):
    help = "Writes docs/configuration.md from the variables that the settings declare."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail if the page is outdated"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        page = HEAD + "".join(_row(variable) for variable in env.declared)
        if not options["check"]:
            PATH.write_text(page, encoding="utf-8")
        elif not PATH.is_file() or PATH.read_text(encoding="utf-8") != page:
            raise CommandError(f"{PATH} is outdated: run `python manage.py document_settings`")


def _row(variable: Variable) -> str:
    return f"| `{variable.name}` | {variable.default} | {variable.help} |\n"
