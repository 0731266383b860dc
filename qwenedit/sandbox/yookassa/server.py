"""What one sandbox server consists of, from its socket to its file.

Owns: putting the parts together, starting and stopping, and forgetting everything on demand.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from qwenedit.sandbox.yookassa.checkout import CheckoutRoutes
from qwenedit.sandbox.yookassa.clock import Clock
from qwenedit.sandbox.yookassa.control import ControlRoutes
from qwenedit.sandbox.yookassa.faults import Faults
from qwenedit.sandbox.yookassa.idempotence import Keys
from qwenedit.sandbox.yookassa.journal import Journal
from qwenedit.sandbox.yookassa.middleware import build_middlewares
from qwenedit.sandbox.yookassa.payments import Payments
from qwenedit.sandbox.yookassa.records import Setting
from qwenedit.sandbox.yookassa.refunds import Refunds
from qwenedit.sandbox.yookassa.registration import Registration
from qwenedit.sandbox.yookassa.routes import ApiRoutes
from qwenedit.sandbox.yookassa.shop import Shop
from qwenedit.sandbox.yookassa.store import Store
from qwenedit.sandbox.yookassa.webhooks import Sending, Webhooks

SHUTDOWN_TIMEOUT = 0.1
AHEAD = "clock_ahead"


@dataclass(frozen=True)
class Config:
    """Everything that can be chosen at the start. Without `data_dir` a restart forgets everything."""

    host: str = "127.0.0.1"
    port: int = 8190
    data_dir: Path | None = None
    shop: Shop = field(default_factory=Shop)
    webhook_url: str = ""
    seed: int = 0


class Sandbox:
    """One server. `forgotten` is set by the next reset. Raises sqlite3.Error or OSError for a bad file."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.store = Store(config.data_dir)
        self.shop = deepcopy(config.shop)
        self.faults = Faults(config.seed)
        self.journal = Journal()
        ahead = self.store.settings.get(AHEAD)
        self.clock = Clock(ahead.value if ahead else 0.0, self.flush)
        self.forgotten = asyncio.Event()
        self.webhooks = Webhooks(Sending(config.webhook_url), self.clock, self.store)
        self._assemble()

    def _assemble(self) -> None:
        self.keys = Keys(self.store, self.clock)
        self.registration = Registration(self.shop, self.store, self.clock)
        parts = (self.shop, self.store, self.clock, self.registration, self.webhooks.notify)
        self.payments = Payments(*parts)
        self.refunds = Refunds(*parts)

    def flush(self) -> None:
        """Write to the file what has changed."""
        self.store.flush()

    def remember_clock(self) -> None:
        """Let the distance to real time outlive the process."""
        self.store.settings.save(Setting(AHEAD, self.clock.ahead))

    def reset(self) -> None:
        """Forget payments, refunds, keys, faults, journals and the virtual time; be as the options said."""
        self.store.clear()
        self.clock.clear()
        self.clock.ahead = 0.0
        self.shop = deepcopy(self.config.shop)
        self.faults.clear()
        self.journal.clear()
        self.forgotten.set()
        self.forgotten = asyncio.Event()
        self.webhooks.sending = Sending(self.config.webhook_url)
        self.webhooks.reset()
        self._assemble()

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(middlewares=build_middlewares(self))
        ApiRoutes(self).register(app)
        CheckoutRoutes(self).register(app)
        ControlRoutes(self).register(app)
        return app


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call `announce` with the URL once the server listens.

    Raises OSError if the address is taken or the file cannot be used.
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
        sandbox.webhooks.open()
        announce(f"http://{config.host}:{port}")
        await _first_end(sandbox.clock.run(), stop.wait())
    finally:
        await runner.cleanup()
        await sandbox.webhooks.close()
        sandbox.store.close()


async def _first_end(*coroutines: Coroutine[object, object, object]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
