"""The line to a ComfyUI node, on which WebSockets break and answers get lost, whatever the node is.

A TCP proxy in a thread of its own. Of HTTP it knows the first words of a request, no more.
"""

import asyncio
import socket
import threading
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable

HOST = "127.0.0.1"
WEBSOCKET = b"GET /ws"
PROMPT = b"POST /prompt"
CHUNK = 1 << 16


class Line:
    """Passes connections to `url` on to a node, from `start` to `stop`; once only.

    A node that is down looks like one that ends its connections at once.
    """

    def __init__(self) -> None:
        self._target = 0
        self._listener = socket.create_server((HOST, 0))
        self.url = f"http://{HOST}:{self._listener.getsockname()[1]}"
        self._open: set[StreamWriter] = set()
        self._websockets: set[StreamWriter] = set()
        self._refusing_until = 0.0
        self._answers_to_lose = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"line {self.url}", daemon=True)

    def start(self, target: int) -> None:
        """Let connections pass to the port `target`."""
        self._target = target
        self._thread.start()

    def stop(self) -> None:
        """Break every connection, and let no other pass."""
        if self._thread.is_alive():
            self._do(self._stopping.set)
            self._thread.join()
        self._loop.close()
        self._listener.close()

    @property
    def is_whole(self) -> bool:
        """Whether everything passes: no WebSocket is refused, and no answer is still to be lost."""
        return time.monotonic() >= self._refusing_until and not self._answers_to_lose

    def drop_websockets(self, seconds: float) -> None:
        """Break every WebSocket, and refuse new ones for so long; a longer refusal goes on."""

        def drop() -> None:
            self._refusing_until = max(self._refusing_until, time.monotonic() + seconds)
            for websocket in self._websockets:
                websocket.transport.abort()

        self._do(drop)

    def lose_answers(self, number: int) -> None:
        """Let so many prompts arrive, and break their connections instead of passing the answers back."""

        def lose() -> None:
            self._answers_to_lose = number

        self._do(lose)

    def heal(self) -> None:
        """Let everything pass again."""

        def heal() -> None:
            self._refusing_until = self._answers_to_lose = 0

        self._do(heal)

    def _do(self, what: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(what)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        async with await asyncio.start_server(self._serve, sock=self._listener):
            await self._stopping.wait()
            for writer in self._open:
                writer.transport.abort()
            while self._open:
                await asyncio.sleep(0.01)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._open.add(writer)
        try:
            request = await reader.read(CHUNK)
            if request.startswith(WEBSOCKET):
                if time.monotonic() < self._refusing_until:
                    return
                self._websockets.add(writer)
            answers, node = await asyncio.open_connection(HOST, self._target)
            try:
                await self._pass_on(request, reader, writer, answers, node)
            finally:
                node.close()
        except OSError:
            pass  # one end is gone, and so is the other in a moment
        finally:
            self._websockets.discard(writer)
            self._open.discard(writer)
            writer.close()

    async def _pass_on(
        self,
        request: bytes,
        reader: StreamReader,
        writer: StreamWriter,
        answers: StreamReader,
        node: StreamWriter,
    ) -> None:
        """Pass bytes both ways until one end closes, or an answer is to be lost."""
        loses_answer = False

        async def there() -> None:
            nonlocal loses_answer
            data = request
            while data:
                if data.startswith(PROMPT) and self._answers_to_lose:
                    self._answers_to_lose -= 1
                    loses_answer = True
                node.write(data)
                await node.drain()
                data = await reader.read(CHUNK)

        async def back() -> None:
            while (data := await answers.read(CHUNK)) and not loses_answer:
                writer.write(data)
                await writer.drain()

        both = [asyncio.create_task(there()), asyncio.create_task(back())]
        done, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for one in left:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)  # the other may have failed in the same moment
        for one in done:
            one.result()
