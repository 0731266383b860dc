"""What one sandbox server consists of, from its socket to its file.

Owns: putting the parts together, starting and stopping, and forgetting everything on demand.
"""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from qwenedit.sandbox.telegram.act import Actions
from qwenedit.sandbox.telegram.chats import Chats
from qwenedit.sandbox.telegram.client_routes import ClientRoutes
from qwenedit.sandbox.telegram.dispatch import perform
from qwenedit.sandbox.telegram.faults import Faults
from qwenedit.sandbox.telegram.files import Files
from qwenedit.sandbox.telegram.journal import Journal
from qwenedit.sandbox.telegram.limits import Limits
from qwenedit.sandbox.telegram.parameters import MEGABYTE, Parameters
from qwenedit.sandbox.telegram.queries import ANSWER_SECONDS, CALLBACK_LIFETIME, Queries
from qwenedit.sandbox.telegram.routes import BotRoutes
from qwenedit.sandbox.telegram.store import Store
from qwenedit.sandbox.telegram.updates import Updates
from qwenedit.sandbox.telegram.webhook import Destination, Webhook

SHUTDOWN_TIMEOUT = 0.1
# A file of 50 MB as base64 fits.
LARGEST_BODY = 80 * MEGABYTE
FILES = "files"


@dataclass(frozen=True)
class Config:
    """Everything that can be chosen at the start. Without `data_dir` a restart forgets everything."""

    host: str = "127.0.0.1"
    port: int = 8191
    token: str = "100001:sandbox"  # noqa: S105 - the stand-in's, no secret
    username: str = "qwenedit_bot"
    data_dir: Path | None = None

    @property
    def bot_id(self) -> int:
        """The bot's user id, which its token begins with."""
        return int(self.token.partition(":")[0])


class Sandbox:
    """One server. Raises sqlite3.Error or OSError for a bad file."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store(config.data_dir)
        bot = {
            "id": config.bot_id,
            "is_bot": True,
            "first_name": "QwenEdit",
            "username": config.username,
        }
        self.chats = Chats(self.store, bot)
        self.files = Files(self.store, config.data_dir / FILES if config.data_dir else None)
        self.updates = Updates(self.store)
        self.webhook = Webhook(self.store, self.updates, self._perform, self.flush)
        self.callbacks = Queries(CALLBACK_LIFETIME)
        self.checkouts = Queries(ANSWER_SECONDS)
        self.inline_queries = Queries(ANSWER_SECONDS)
        self.faults = Faults()
        self.limits = Limits()
        self.journal = Journal()
        self.actions = Actions(self)

    def flush(self) -> None:
        """Write to the file what has changed."""
        self.store.flush()

    def reset(self) -> None:
        """Forget everything; only the numbers of updates go on."""
        self.store.clear()
        self.chats.clear()
        self.files.clear()
        self.updates.clear()
        self.webhook.point_to(Destination())
        for queries in (self.callbacks, self.checkouts, self.inline_queries):
            queries.clear()
        self.faults.clear()
        self.limits.clear()
        self.journal.clear()

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=LARGEST_BODY)
        BotRoutes(self).register(app)
        ClientRoutes(self).register(app)
        return app

    async def _perform(self, method: str, given: Parameters) -> object:
        return await perform(self, method, given)


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call `announce` with the URL once the server listens.

    Raises OSError if the address is taken or the folder cannot be used.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sandbox = Sandbox(config)
    runner = web.AppRunner(sandbox.application(), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        await site.start()
        port = runner.addresses[0][1]
        sandbox.webhook.open()
        announce(f"http://{config.host}:{port}")
        await stop.wait()
    finally:
        await runner.cleanup()
        await sandbox.webhook.close()
        sandbox.files.close()
        sandbox.store.close()
