"""The order of things in a local run: lock, clean up, prepare, start, show one edit, stay up, stop.

Everything that was started is ended on every way out. What a process does is its own business.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from qwenedit import embedded, settings
from qwenedit.local.machine import (
    HOST,
    MARK,
    AlreadyRunning,
    Holder,
    PortTaken,
    RunLock,
    end_leftovers,
    free_port,
)
from qwenedit.local.processes import LAST_WORDS, Child, Console
from qwenedit.local.specs import ProcessSpec, system

COMFYUI_SANDBOX_PORT = 8189  # beside the real one's 8188; the same at every start, so the node stays the same
YOOKASSA_SANDBOX_PORT = 8190  # the same at every start, so that links to pay stay good
TELEGRAM_SANDBOX_PORT = 8191
WATCH_EVERY = 1.0
DEMO_MARGIN = 60
TELL_ADDRESSES_AFTER = 10.0

SUCCEEDED, FAILED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Places:
    """Where this run is reached, and where it reaches what it needs."""

    port: int
    comfyui_sandbox_port: int | None
    yookassa_sandbox_port: int | None
    telegram_sandbox_port: int | None

    @property
    def site(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def comfyui(self) -> list[str]:
        """Addresses of ComfyUI, credentials included."""
        if self.comfyui_sandbox_port is None:
            return settings.COMFYUI_URLS
        return [f"http://{HOST}:{self.comfyui_sandbox_port}"]

    @property
    def yookassa(self) -> str:
        """Base of YooKassa's API."""
        if self.yookassa_sandbox_port is None:
            return settings.YOOKASSA_API_URL
        return f"http://{HOST}:{self.yookassa_sandbox_port}/v3"

    @property
    def telegram(self) -> str:
        """Base of the Bot API."""
        if self.telegram_sandbox_port is None:
            return settings.TELEGRAM_API_URL
        return f"http://{HOST}:{self.telegram_sandbox_port}"


class Runner:
    """One run. `run` returns the exit code and leaves no process behind."""

    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._began = time.monotonic()
        self._folder = settings.VAR_DIR.absolute()
        self._lock = RunLock(self._folder)
        self._children: list[Child] = []
        self._supervisions: list[asyncio.Task[None]] = []
        self._watches: list[asyncio.Task[None]] = []
        self._environment: dict[str, str] = {}
        self._console = Console(self._folder / "logs")
        self._stop = asyncio.Event()
        self._up = False

    def run(self) -> int:
        """Take the lock and live until the end of the run."""
        try:
            self._lock.acquire()
        except AlreadyRunning as error:
            sys.stderr.write(f"{error}.\n")
            return FAILED
        try:
            return asyncio.run(self._live())
        finally:
            # After the event loop: a check of Valkey that was under way in a thread has ended by now.
            embedded.release()
            self._lock.release()

    async def _live(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup is obeyed
                loop.add_signal_handler(number, self._on_signal)
        work = asyncio.create_task(self._work())
        ends = [asyncio.create_task(event.wait()) for event in (self._stop, self._console.closed)]
        try:
            await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            return SUCCEEDED if self._up else INTERRUPTED
        except (PortTaken, embedded.EmbeddedValkeyError) as error:
            self._console.say(f"{error}.")
            return FAILED
        finally:
            await self._shut_down(work, ends)

    def _on_signal(self) -> None:
        if self._stop.is_set():  # the second time of asking
            for child in self._children:
                child.kill()
        self._stop.set()

    async def _work(self) -> int:
        left = await asyncio.to_thread(end_leftovers, self._lock)
        if left:
            self._console.say(f"Ended {left} process(es) that a killed run had left behind")
        places = self._places()
        self._lock.describe(Holder(os.getpid(), places.site))
        self._environment = {
            **os.environ,
            "VAR_DIR": str(self._folder),
            "PORT": str(places.port),
            "COMFYUI_URL": ",".join(places.comfyui),
            "YOOKASSA_API_URL": places.yookassa,
            "TELEGRAM_API_URL": places.telegram,
            "PYTHONUNBUFFERED": "1",
            MARK: str(self._lock.path),
        }
        await asyncio.to_thread(embedded.ensure)
        self._watches.append(asyncio.create_task(self._watch()))

        specs = system(
            port=places.port,
            comfyui_sandbox_port=places.comfyui_sandbox_port,
            yookassa_sandbox_port=places.yookassa_sandbox_port,
            telegram_sandbox_port=places.telegram_sandbox_port,
            folder=self._folder,
        )
        self._children = [Child(spec, self._environment, self._console) for spec in specs]
        self._supervise(early=True)
        if await self._finish(ProcessSpec("prepare", "manage", ("prepare",))) != 0:
            self._console.say("The database could not be prepared, so nothing was started")
            return FAILED
        self._supervise(early=False)
        return await self._show(places)

    def _places(self) -> Places:
        port = free_port(settings.PORT, exactly=bool(settings.env.source.get("PORT")))
        if port != settings.PORT:
            self._console.say(f"Port {settings.PORT} is in use, so this run takes {port}")
        comfyui = None if settings.COMFYUI_URLS else _free_beside(COMFYUI_SANDBOX_PORT, port)
        yookassa = None
        if _needs_yookassa_sandbox():
            yookassa = _free_beside(YOOKASSA_SANDBOX_PORT, port, comfyui)
        telegram = None
        if _needs_telegram_sandbox():
            telegram = _free_beside(TELEGRAM_SANDBOX_PORT, port, comfyui, yookassa)
        return Places(port, comfyui, yookassa, telegram)

    def _supervise(self, *, early: bool) -> None:
        for child in self._children:
            if child.spec.early is early:
                self._supervisions.append(asyncio.create_task(child.supervise()))

    async def _finish(self, spec: ProcessSpec) -> int:
        """Run a process to its end; return its exit code."""
        child = Child(spec, self._environment, self._console)
        self._children.insert(0, child)
        code = await child.run()
        self._children.remove(child)
        return code

    async def _watch(self) -> None:
        """Look after what belongs to no child: Valkey, and whoever reads the output."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            self._console.notice_hangup()
            try:
                if await asyncio.to_thread(embedded.ensure):
                    self._console.say("Valkey was gone; it has been started again")
            except embedded.EmbeddedValkeyError as error:
                self._console.say(f"{error}; it is tried again")

    async def _show(self, places: Places) -> int:
        """Make the edit, tell the addresses, stay up; return the exit code."""
        if not settings.DEBUG:
            self._console.say("DEBUG is off, so there is no demo user and no edit is made")
            self._tell(places)
            return FAILED if self._once else await self._stay()
        demo = asyncio.create_task(self._finish(self._demo(places)))
        if not self._once:
            await asyncio.wait([demo], timeout=TELL_ADDRESSES_AFTER)
            if not demo.done():
                self._tell(places)
        succeeded = await demo == 0
        if self._once:
            return SUCCEEDED if succeeded else FAILED
        if succeeded:
            self._console.say(f"Ready after {time.monotonic() - self._began:.1f} s")
        else:
            self._console.say("The edit did not succeed; the system stays up to show why")
        self._tell(places)
        return await self._stay()

    def _demo(self, places: Places) -> ProcessSpec:
        return ProcessSpec(
            "demo",
            "qwenedit.local.demo",
            (
                f"--site={places.site}",
                f"--photo={settings.BASE_DIR / 'qwenedit' / 'samples' / 'astronaut.png'}",
                f"--save-in={self._folder / 'demo'}",
                f"--timeout={settings.COMFYUI_TIMEOUT + DEMO_MARGIN}",
            ),
        )

    def _tell(self, places: Places) -> None:
        if self._up:
            return
        self._up = True
        kind = "sandbox, no model" if places.comfyui_sandbox_port else "yours"
        shop = "sandbox, no money" if places.yookassa_sandbox_port else "yours"
        messenger = "sandbox: talk to the bot there" if places.telegram_sandbox_port else "yours"
        comfyui = ", ".join(without_credentials(url) for url in places.comfyui)
        for line in (
            f"  Page      {places.site}/",
            f"  API docs  {places.site}/api/docs/",
            f"  Admin     {places.site}/admin/",
            f"  ComfyUI   {comfyui} ({kind})",
            f"  YooKassa  {without_credentials(places.yookassa)} ({shop})",
            f"  Telegram  {places.telegram} ({messenger})",
            "Ctrl-C stops everything",
        ):
            self._console.say(line)

    async def _stay(self) -> int:
        await self._stop.wait()
        return SUCCEEDED

    async def _shut_down(self, work: asyncio.Task[int], ends: Sequence[asyncio.Task[Any]]) -> None:
        self._lock.describe(Holder(os.getpid(), stopping=True))
        work.cancel()
        if self._children:
            self._console.say("Stopping")
        for child in list(self._children):
            await child.stop()
        if self._supervisions:  # they still have last words to print
            await asyncio.wait(self._supervisions, timeout=LAST_WORDS)
        for child in self._children:
            child.kill()
        rest: list[asyncio.Task[Any]] = [work, *ends, *self._supervisions, *self._watches]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self._console.close()


def _free_beside(wanted: int, *others: int | None) -> int:
    """Return a free port from `wanted` on that none of our `others` is about to take."""
    port = free_port(wanted, exactly=False)
    while port in others:
        port = free_port(port + 1, exactly=False)
    return port


def _needs_yookassa_sandbox() -> bool:
    is_set = settings.YOOKASSA_SHOP_ID or settings.YOOKASSA_SECRET_KEY
    return not is_set and not settings.env.source.get("YOOKASSA_API_URL")


def _needs_telegram_sandbox() -> bool:
    return not settings.BOT_TOKEN and not settings.env.source.get("TELEGRAM_API_URL")


def without_credentials(url: str) -> str:
    """Return `url` as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
