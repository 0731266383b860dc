"""What one sandbox server consists of, from its socket to its execution thread.

Owns: putting the parts together, starting, stopping, and the restart without ending the process.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from qwenedit.sandbox.comfyui.events import Events
from qwenedit.sandbox.comfyui.execution import Options
from qwenedit.sandbox.comfyui.faults import Faults, Settings
from qwenedit.sandbox.comfyui.files import Folders
from qwenedit.sandbox.comfyui.middleware import Credentials, build_middlewares
from qwenedit.sandbox.comfyui.models import ModelFiles
from qwenedit.sandbox.comfyui.routes import Routes
from qwenedit.sandbox.comfyui.schema import Resources
from qwenedit.sandbox.comfyui.worker import Worker

T = TypeVar("T")
MEGABYTE = 1024 * 1024
SHUTDOWN_TIMEOUT = 0.1


@dataclass(frozen=True)
class Config:
    """Everything that can be chosen at the start. `max_upload_size` is in MB."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8188
    max_upload_size: float = 100
    options: Options = field(default_factory=Options)
    faults: Settings = field(default_factory=Settings)
    models: tuple[str, ...] = ()
    credentials: Credentials | None = None


class Sandbox:
    """One server. Raises ValueError for a model name without a folder."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.faults = Faults(config.faults)
        folders = Folders(config.data_dir)
        models = ModelFiles(config.models, lambda name: name in self.faults.now.missing_models)
        self.resources = Resources(folders, models)
        self.events = Events(asyncio.get_running_loop())
        self.worker = self._new_worker()

    def _new_worker(self) -> Worker:
        worker = Worker(self.resources, self.faults, self.config.options, self.events)
        worker.start()
        return worker

    def restart(self) -> None:
        """Lose what a restart of the process loses: queue, history, cache, temp files, connections."""
        self.worker.abandon()
        self.faults.heal()
        self.events.break_all()
        self.resources.folders.empty_temp()
        self.worker = self._new_worker()

    def features(self) -> dict[str, object]:
        """Return what the server tells about itself in GET /features and the WebSocket handshake."""
        return {
            "supports_preview_metadata": True,
            "supports_model_type_tags": True,
            "max_upload_size": self.config.max_upload_size * MEGABYTE,
            "extension": {"manager": {"supports_v4": True}},
            "node_replacements": True,
            "assets": False,
        }

    def application(self) -> web.Application:
        """Return the web application, with every route as it is and below /api."""
        app = web.Application(
            client_max_size=round(self.config.max_upload_size * MEGABYTE),
            middlewares=build_middlewares(self.faults, self.config.credentials),
        )
        Routes(self).register(app)
        return app


class _InPlace(ThreadPoolExecutor):
    """Does at once what aiohttp gives to threads: a small file takes less time than the change of threads."""

    def submit(self, function: Callable[..., T], /, *arguments: object, **named: object) -> Future[T]:
        """Call a function and return what became of it."""
        future: Future[T] = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


async def serve(config: Config, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call `announce` with the URL once the server listens.

    Raises OSError if the address is taken, and whatever breaks the delivery of messages: ComfyUI ends then.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asyncio.get_running_loop().set_default_executor(_InPlace())
    sandbox = Sandbox(config)
    runner = web.AppRunner(sandbox.application(), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port)
        await site.start()
        port = runner.addresses[0][1]
        announce(f"http://{config.host}:{port}")
        await _first_end(sandbox.events.publish(), stop.wait())
    finally:
        sandbox.worker.abandon()
        sandbox.events.break_all()
        await asyncio.sleep(0)
        await runner.cleanup()
        sandbox.resources.folders.empty_temp()


async def _first_end(*coroutines: Coroutine[object, object, object]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
