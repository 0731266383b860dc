"""The command line of the sandboxes: `python -m qwenedit.sandbox NAME [options]`.

Owns: the list of sandboxes. `manage.py sandbox` shares the parser; this entry starts without Django.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from qwenedit.sandbox.comfyui import cli as comfyui
from qwenedit.sandbox.telegram import cli as telegram
from qwenedit.sandbox.yookassa import cli as yookassa


class SandboxModule(Protocol):
    """What a sandbox offers to the command line."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Serve until it is stopped; return the exit code."""


SANDBOXES: Mapping[str, SandboxModule] = {
    "comfyui": comfyui,
    "telegram": telegram,
    "yookassa": yookassa,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a sub-command per sandbox; the parsed arguments carry its `run`."""
    commands = parser.add_subparsers(dest="sandbox", required=True, metavar="NAME")
    for name, module in SANDBOXES.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m qwenedit.sandbox", description="Offline stand-ins.")
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
