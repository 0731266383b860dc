"""Starters of the sandbox servers, as the real processes people run.

Owns: finding a port, waiting until the server says it is ready, stopping it without a trace.
Must not know: Django, and what the servers do.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

import requests

PROJECT_ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 60.0
READY_LINE = re.compile(r"listening on (?P<url>http://\S+)")


class SandboxServer:
    """One sandbox process: `python -m qwenedit.sandbox NAME --port N …`.

    `url` has no trailing slash. With `--user` and `--password` among the arguments, `control`
    signs in with them; `url` stays without credentials.
    """

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self.arguments = arguments
        self.url = ""
        self.process: subprocess.Popen[str] | None = None
        self._output: Queue[str | None] = Queue()

    @property
    def pid(self) -> int:
        """The process id of the server that runs now."""
        if self.process is None:
            raise RuntimeError(f"the {self.name} sandbox is not running")
        return self.process.pid

    @property
    def port(self) -> int:
        """The port the server listens on."""
        return urlsplit(self.url).port or 0

    @property
    def auth(self) -> tuple[str, str] | None:
        """The credentials the server was started with."""
        options = dict(zip(self.arguments, self.arguments[1:], strict=False))
        if "--user" not in options:
            return None
        return options["--user"], options["--password"]

    def start(self, port: int = 0) -> Self:
        """Start the process and wait until it listens; raises RuntimeError with its output if it does not."""
        self._output = Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qwenedit.sandbox", self.name, "--port", str(port), *self.arguments],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        stdout = self.process.stdout
        assert stdout is not None
        threading.Thread(target=_read, args=(stdout, self._output), daemon=True).start()
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def _wait_until_ready(self) -> str:
        seen: list[str] = []
        deadline = time.monotonic() + START_TIMEOUT
        while (line := self._next_line(deadline)) is not None:
            seen.append(line)
            if match := READY_LINE.search(line):
                return match["url"]
        raise RuntimeError(f"the {self.name} sandbox did not start:\n{''.join(seen)}")

    def _next_line(self, deadline: float) -> str | None:
        try:
            return self._output.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return None

    def control(self, **faults: Any) -> dict[str, Any]:
        """Set faults (see the sandbox's `faults` module) and return the state of all of them."""
        answer = requests.post(f"{self.url}/sandbox/faults", json=faults, auth=self.auth, timeout=10)
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def stop(self, timeout: float = 30.0) -> int:
        """Stop the server as an operator would (SIGTERM) and return its exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> int:
        """Stop the server as the out-of-memory killer would (SIGKILL)."""
        return self._end(signal.SIGKILL, 30.0)

    def _end(self, signal_number: int, timeout: float) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(signal_number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
            raise

    def wait(self, timeout: float = 5.0) -> int:
        """Wait for a server that ends by itself and return its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        return process.wait(timeout)

    def restart(self) -> Self:
        """Stop the server if it runs, and start it again on the same port with the same arguments."""
        port = self.port
        if self.process is not None:
            self.stop()
        return self.start(port)

    def __enter__(self) -> Self:
        return self if self.process is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class YooKassaServer(SandboxServer):
    """A YooKassa sandbox; what `do` takes and answers is described in the sandbox's `control` module."""

    @property
    def api_url(self) -> str:
        """The base URL of the API."""
        return f"{self.url}/v3"

    def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Carry out an action of the control route and return its answer; raises requests.HTTPError."""
        body = {"action": action, **arguments}
        answer = requests.post(f"{self.url}/sandbox/control", json=body, timeout=60)
        if answer.status_code == requests.codes.bad_request:
            raise requests.HTTPError(answer.json()["error"], response=answer)
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def requests_seen(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the API requests in the journal, selected by method, path, key, status or fault."""
        answer = requests.get(f"{self.url}/sandbox/journal", params=wanted, timeout=10)
        answer.raise_for_status()
        seen: list[dict[str, Any]] = answer.json()["requests"]
        return seen

    def deliveries(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the attempts to deliver notifications, selected by event or object_id."""
        answer = requests.get(f"{self.url}/sandbox/deliveries", params=wanted, timeout=10)
        answer.raise_for_status()
        attempts: list[dict[str, Any]] = answer.json()["deliveries"]
        return attempts


class TelegramServer(SandboxServer):
    """A Telegram sandbox; what `act` takes and answers is described in the sandbox's `act` module."""

    @property
    def token(self) -> str:
        """The bot's token."""
        options = dict(zip(self.arguments, self.arguments[1:], strict=False))
        return options.get("--token", "100001:sandbox")

    @property
    def api_url(self) -> str:
        """The `base_url` of python-telegram-bot's Bot; its `base_file_url` is `file_url`."""
        return f"{self.url}/bot"

    @property
    def file_url(self) -> str:
        """Where files are fetched, without the token."""
        return f"{self.url}/file/bot"

    def act(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Do what a person would do and return the answer; raises requests.HTTPError."""
        return self._post("act", {"action": action, **arguments})

    def fault(self, **plan: Any) -> dict[str, Any]:
        """Add an entry to the plan of faults (see the sandbox's `faults` module) and return the plan."""
        return self._post("faults", plan)

    def limits(self, **rates: Any) -> dict[str, Any]:
        """Set the flood limits and return them."""
        return self._post("limits", rates)

    def calls(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the bot's calls, selected by method, since (a call's `n`) or chat_id."""
        found: list[dict[str, Any]] = self._get("calls", **wanted)
        return found

    def chat(self, user_id: int, **query: Any) -> dict[str, Any]:
        """Return a chat as its person sees it."""
        chat: dict[str, Any] = self._get(f"chats/{user_id}", **query)
        return chat

    def chats(self) -> dict[str, Any]:
        """Return the bot, the people and the number of events."""
        chats: dict[str, Any] = self._get("chats")
        return chats

    def state(self) -> dict[str, Any]:
        """Return webhook, queue, commands, transactions, faults and limits."""
        state: dict[str, Any] = self._get("state")
        return state

    def _post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(f"{self.url}/sandbox/{route}", json=body, timeout=60)
        if answer.status_code == requests.codes.bad_request:
            raise requests.HTTPError(answer.json()["error"], response=answer)
        answer.raise_for_status()
        done: dict[str, Any] = answer.json()
        return done

    def _get(self, route: str, **query: Any) -> Any:
        answer = requests.get(f"{self.url}/sandbox/{route}", params=query, timeout=60)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def start_sandbox_comfyui(*arguments: str) -> Iterator[SandboxServer]:
    """Run a ComfyUI sandbox for the length of a `with` block, at no cost per sampling step unless told."""
    speed = () if "--seconds-per-step" in arguments else ("--seconds-per-step", "0")
    with SandboxServer("comfyui", *speed, *arguments) as server:
        yield server


@contextmanager
def start_sandbox_yookassa(*arguments: str) -> Iterator[YooKassaServer]:
    """Run a YooKassa sandbox for the length of a `with` block; the SDK's base URL is its `api_url`."""
    with YooKassaServer("yookassa", *arguments) as server:
        yield server


@contextmanager
def start_sandbox_telegram(*arguments: str) -> Iterator[TelegramServer]:
    """Run a Telegram sandbox for the length of a `with` block."""
    with TelegramServer("telegram", *arguments) as server:
        yield server


def _read(stream: IO[str], lines: "Queue[str | None]") -> None:
    with stream:
        for line in stream:
            lines.put(line)
    lines.put(None)
