#!/usr/bin/env python
"""Django's command line for QwenEdit."""

import os
import sys


def main() -> None:
    """Run the management command named by the arguments."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qwenedit.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        raise SystemExit(
            "Django is not installed in this Python. Run `make run` once, then use .venv/bin/python"
        ) from error
    if sys.argv[1:2] == ["runserver"]:
        from qwenedit import embedded

        embedded.ensure()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
