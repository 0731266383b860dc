"""Options of the YooKassa sandbox, and its process. What can be changed later is described in `control`."""

import argparse
import asyncio
import sqlite3
import sys
from pathlib import Path

from qwenedit.sandbox.yookassa.server import Config, serve
from qwenedit.sandbox.yookassa.shop import PROVIDERS, Shop

HELP = "YooKassa API v3 without money: payments, refunds, notifications and the buyer's page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this sandbox to a parser."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8190, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--data-dir", type=Path, help="remembers payments and refunds over restarts (default: forgets them)"
    )
    parser.add_argument("--shop-id", default="sandbox", help="user of every request (default: %(default)s)")
    parser.add_argument("--secret-key", default="sandbox", help="its password (default: %(default)s)")
    parser.add_argument(
        "--webhook-url", default="", metavar="URL", help="where notifications go (default: nowhere)"
    )
    parser.add_argument(
        "--live", action="store_true", help="a shop of its own: objects carry test=false, not true"
    )
    parser.add_argument(
        "--fiscalization",
        nargs="?",
        const="yoo_receipt",
        default="",
        choices=PROVIDERS,
        metavar="PROVIDER",
        help="demand receipts (default provider: yoo_receipt)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of faults that come by chance")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    try:
        asyncio.run(serve(_config(arguments), _announce))
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"YooKassa sandbox: {error}\n")
        return 1
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(f"YooKassa sandbox listening on {url}\n")
    sys.stdout.flush()


def _config(arguments: argparse.Namespace) -> Config:
    return Config(
        host=arguments.host,
        port=arguments.port,
        data_dir=arguments.data_dir,
        shop=Shop(
            shop_id=arguments.shop_id,
            secret_key=arguments.secret_key,
            test=not arguments.live,
            fiscalization=arguments.fiscalization,
        ),
        webhook_url=arguments.webhook_url,
        seed=arguments.seed,
    )
