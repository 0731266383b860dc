"""One supervised process and its output: started, restarted with growing pauses, ended with its group."""

import asyncio
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from qwenedit.local.specs import ProcessSpec

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
LAST_WORDS = 1.0  # seconds for the rest of its output, once it has ended
STEADY_AFTER = 30.0  # a process that ran this long starts again after the first, short pause
NAME_WIDTH = 8
COLOURS = {
    "web": 36, "bot": 36, "beat": 34, "worker": 32, "prepare": 33, "demo": 33,
    "comfyui": 35, "yookassa": 35, "telegram": 35,
}  # fmt: skip


class Console:
    """Lines of many processes on one terminal, each with its name in front, and each kept in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.closed = asyncio.Event()
        self._files: dict[str, BinaryIO] = {}
        self._colour = sys.stdout.isatty()
        folder.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        """Print a line of the runner's own."""
        self.write("qwenedit", text.encode())

    def write(self, name: str, line: bytes) -> None:
        """Print `line` of the process `name`, and append it to that process's file."""
        try:
            if name not in self._files:
                self._files[name] = (self.folder / f"{name}.log").open("wb", buffering=0)
            self._files[name].write(line + b"\n")
        except OSError:
            pass  # a full disk must not end the run: what can not be kept is still shown
        if self.closed.is_set():
            return
        label = f"{name:<{NAME_WIDTH}} |"
        if self._colour:
            label = f"\033[{COLOURS.get(name, 0)}m{label}\033[0m"
        try:
            sys.stdout.buffer.write(label.encode() + b" " + line + b"\n")
            sys.stdout.buffer.flush()
        except OSError:
            self.closed.set()
            # What could not be written stays in the buffer: Python would try again at its end, and exit 120.
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())

    def notice_hangup(self) -> None:
        """Set `closed` if the terminal or the pipe is gone: a session's end is not signalled to all in it."""
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        if poll.poll(0):
            self.closed.set()

    async def pump(self, name: str, descriptor: int) -> None:
        """Print what arrives at `descriptor`, line by line, until it ends; close it."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(descriptor, "rb", buffering=0)
        )
        rest = b""
        try:
            while data := await stream.read(65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.write(name, line)
        finally:
            transport.close()
            if rest:
                self.write(name, rest)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class Child:
    """One process in a session of its own, so that a Ctrl-C in the terminal reaches the runner alone."""

    def __init__(self, spec: ProcessSpec, environment: Mapping[str, str], console: Console) -> None:
        self.spec = spec
        self._environment = environment
        self._console = console
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run the process once; return its exit code (negative: the signal that ended it)."""
        # A pipe of our own rather than asyncio's: whoever inherited its end must not delay `wait`.
        reading, writing = os.pipe()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "qwenedit.local.child", str(os.getpid()), self.spec.module, *self.spec.arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            os.close(writing)
            output = asyncio.create_task(self._console.pump(self.spec.name, reading))
        if self._stopping.is_set():
            self.kill()
        code = await process.wait()
        self._kill_group()
        with suppress(TimeoutError):
            await asyncio.wait_for(output, LAST_WORDS)
        return code

    async def supervise(self) -> None:
        """Keep the process running until `stop`."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self.run()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_AFTER:
                pause = FIRST_PAUSE
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self._console.say(f"{self.spec.name} {how}; it starts again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def stop(self) -> None:
        """End the process: SIGTERM, and SIGKILL to its whole group after its grace."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.spec.grace)
        except TimeoutError:
            self._console.say(f"{self.spec.name} does not end by itself and is killed")
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End the process and its group at once."""
        self._stopping.set()
        self._kill_group()

    def _kill_group(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
