"""`manage.py sandbox NAME [options]`: one offline stand-in alone.

Owns nothing: the parser and the work are those of `python -m qwenedit.sandbox`, which needs no Django and
less memory.
"""

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from qwenedit.sandbox.__main__ import SANDBOXES, add_arguments


class Command(BaseCommand):
    """Run a sandbox until Ctrl-C or SIGTERM."""

    help = f"Run an offline stand-in of an outside service: {', '.join(SANDBOXES)}."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add a sub-command per sandbox."""
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve; exit with the sandbox's own code if that is not 0."""
        code = options["run"](argparse.Namespace(**options))
        if code:
            sys.exit(code)
