"""Options of the Telegram sandbox, and its process. What people do in it is described in `act`."""

import argparse
import asyncio
import re
import sqlite3
import sys
from pathlib import Path

from qwenedit.sandbox.telegram.server import Config, serve

HELP = "Telegram Bot API without Telegram: a bot, people who write to it, and their chats as a page"
TOKEN = re.compile(r"\d{1,15}:[A-Za-z0-9_-]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this sandbox to a parser."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8191, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--token", type=_token, default=Config.token, help="the bot's, id:secret (default: %(default)s)"
    )
    parser.add_argument(
        "--username", default=Config.username, help="the bot's, without @ (default: %(default)s)"
    )
    parser.add_argument(
        "--data-dir", type=Path, help="remembers chats and files over restarts (default: forgets them)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    config = Config(
        host=arguments.host,
        port=arguments.port,
        token=arguments.token,
        username=arguments.username,
        data_dir=arguments.data_dir,
    )
    try:
        asyncio.run(serve(config, _announce))
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"Telegram sandbox: {error}\n")
        return 1
    return 0


def _token(text: str) -> str:
    if not TOKEN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no token such as 100001:sandbox")
    return text


def _announce(url: str) -> None:
    sys.stdout.write(f"Telegram sandbox listening on {url}\n")
    sys.stdout.flush()
