"""Follows one prompt over ComfyUI's WebSocket.

It owns the socket and the events as our own types. The events are the fast path and may be
missed at any time; the poll of `ComfyClient.status` is the truth, so nothing here is fatal: a
lost or refused socket is a Disconnected event, never an exception.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import websocket

from jobs.comfy.address import Address
from jobs.comfy.answers import OutputImage, read_images
from jobs.comfy.buffered import BufferedSocket
from jobs.comfy.errors import ExecutionFailed, UnexpectedAnswer, execution_failure

CLOSE_TIMEOUT_SECONDS = 1.0
SHORTEST_CONNECTION_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Started:
    """The node has begun with the prompt."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Executing:
    """A node of the graph has begun; None after the last one."""

    prompt_id: str
    node: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """A node of the graph has done `value` of `max` steps."""

    prompt_id: str
    node: str
    value: float
    max: float


@dataclass(frozen=True, slots=True)
class Executed:
    """A node of the graph has written `images`."""

    prompt_id: str
    node: str
    images: tuple[OutputImage, ...]


@dataclass(frozen=True, slots=True)
class Success:
    """The prompt has completed. The history can lag behind by a moment."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A node of the graph raised."""

    prompt_id: str
    error: ExecutionFailed


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The prompt was interrupted or cancelled."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class Status:
    """How many prompts, of anybody, the ComfyUI node has still to run."""

    queue_remaining: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """There is no socket any more: poll."""

    reason: str


Event = Started | Executing | Progress | Executed | Success | Failed | Interrupted | Status | Disconnected


class EventStream:
    """The events of `prompt_id`, and of nobody else's prompts.

    ComfyUI sends them to the socket whose clientId posted the prompt: connect before POST
    /prompt, with a `client_id` that no other socket has or had. One client that does not read
    stalls the messages of everybody: call `next` often, and close before doing anything long.
    `turn_to` follows one prompt after another over the same socket: see `KeptStream`.

        with EventStream(url, client_id, prompt_id) as events:
            client.submit(prompt, prompt_id, client_id)
            while ...:
                event = events.next(timeout=2)

    Not to be shared between threads.
    """

    def __init__(
        self, base_url: str, client_id: str, prompt_id: str, *, connect_timeout: float = 2.0
    ) -> None:
        self._address = Address.parse(base_url)
        self.base_url = base_url
        self.client_id = client_id
        self.prompt_id = prompt_id
        self._connect_timeout = connect_timeout
        self._socket: websocket.WebSocket | None = None
        self._loss: Disconnected | None = None
        self._may_reuse_id = True
        self._opened_at = -math.inf
        self._told_success = False

    def __repr__(self) -> str:
        return f"<EventStream {self._address.url} {self.prompt_id}>"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_connected(self) -> bool:
        """Whether a socket is open as far as we know; only a read can tell for sure."""
        return self._socket is not None

    @property
    def has_told_success(self) -> bool:
        """Whether the open socket has told that the prompt has completed: it is neither lost nor deaf."""
        return self.is_connected and self._told_success

    def turn_to(self, prompt_id: str) -> None:
        """Follow another prompt from now on, which is to be posted under the same client id."""
        self.prompt_id = prompt_id
        self._told_success = False

    def connect(self) -> bool:
        """Open the socket and return whether it worked; if not, `next` reports Disconnected."""
        self._told_success = False
        url = f"{self._address.websocket_url}/ws?{urlencode({'clientId': self.client_id})}"
        try:
            self._socket = websocket.create_connection(
                url,
                timeout=self._connect_timeout,
                socket=self._plain_socket(),
                header=self._address.headers,
                # ComfyUI answers 403 to an Origin that differs from its own idea of its host.
                suppress_origin=True,
                # The header holds credentials: they go to this host, by no redirect and no proxy of
                # the environment. The library looks at http_no_proxy only beside a proxy's name.
                redirect_limit=0,
                http_proxy_host="none",
                http_no_proxy=["*"],
                # The library's own check is a loop in Python over every byte, 20 ms of CPU for one
                # prompt's messages; `read_event` decodes them, and drops what it cannot.
                skip_utf8_validation=True,
            )
        except (websocket.WebSocketException, OSError, ValueError) as error:
            self._loss = Disconnected(f"cannot connect: {type(error).__name__}: {error}")
            return False
        self._loss = None
        self._opened_at = time.monotonic()
        return True

    def _plain_socket(self) -> BufferedSocket | None:
        """Return a connection to the node; None where it speaks TLS, which the library sets up itself."""
        parts = urlsplit(self._address.url)
        if parts.scheme != "http" or not parts.hostname:
            return None
        return BufferedSocket.connected_to(parts.hostname, parts.port or 80, timeout=self._connect_timeout)

    def reconnect(self) -> bool:
        """Open a new socket for the same prompt, and return whether that was possible.

        Only the clientId that posted the prompt gets its events, but a second socket of the same
        id stays deaf, without an error, if the server closes the first one later. So the id is
        used again only when the server is known to be done with the first: it closed it, or
        answers our close within a second. Nor is it tried after a socket that did not last a
        second. Then this returns False, polling finishes the job, and `next` says no more.
        Messages sent in between are lost.
        """
        if self._socket is not None:
            self._socket.close(timeout=CLOSE_TIMEOUT_SECONDS)
            self._may_reuse_id = self._socket.close_frame is not None
            self._socket = None
        has_lasted = time.monotonic() - self._opened_at >= SHORTEST_CONNECTION_SECONDS
        if self._may_reuse_id and has_lasted and self.connect():
            return True
        self._loss = None
        return False

    def close(self) -> None:
        """Say goodbye without waiting for the server's answer."""
        if self._socket is not None:
            self._socket.close(timeout=0)
            self._may_reuse_id = False
            self._socket = None

    def next(self, timeout: float) -> Event | None:
        """Return the next event, or None when `timeout` seconds pass without one.

        After the socket is lost it says Disconnected once and then passes the time as a silent
        stream would, so that a loop around it keeps its pace.
        """
        deadline = time.monotonic() + timeout
        while self._socket is not None:
            try:
                # A timeout of zero would make the socket non-blocking.
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                opcode, frame = self._socket.recv_data()
            except websocket.WebSocketTimeoutException:
                return None
            except (websocket.WebSocketException, OSError) as error:
                by_server = isinstance(error, websocket.WebSocketConnectionClosedException | ConnectionError)
                self._lose(f"{type(error).__name__}: {error}", by_server=by_server)
                break
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self._lose("closed by the server", by_server=True)
            elif opcode == websocket.ABNF.OPCODE_TEXT and (event := read_event(frame, self.prompt_id)):
                self._told_success |= isinstance(event, Success)
                return event
            elif time.monotonic() > deadline:
                return None
        if self._loss is not None:
            loss, self._loss = self._loss, None
            return loss
        time.sleep(max(0.0, deadline - time.monotonic()))
        return None

    def _lose(self, reason: str, *, by_server: bool) -> None:
        if self._socket is not None:
            self._socket.shutdown()  # type: ignore[no-untyped-call]
        self._socket = None
        self._may_reuse_id = by_server
        self._loss = Disconnected(reason)


def read_event(message: str | bytes, prompt_id: str) -> Event | None:
    """Read one text message; None when it is of no use or about another prompt.

    An interruption, and the progress of prompts without a client id, are broadcast to everybody.
    """
    try:
        content = json.loads(message)
        kind, data = content["type"], content["data"]
        if kind == "status":
            return Status(int(data["status"]["exec_info"]["queue_remaining"]))
        # After a reconnection the first "executing" comes without an id: it is about our prompt,
        # for it is sent only to the client id of the prompt that runs.
        if data.get("prompt_id", prompt_id if kind == "executing" else None) != prompt_id:
            return None
        return _read_prompt_event(kind, data, prompt_id)
    except (AttributeError, KeyError, TypeError, ValueError, UnexpectedAnswer):
        # The poll will notice whatever matters in a message that cannot be read.
        return None


def _read_prompt_event(kind: str, data: Mapping[str, Any], prompt_id: str) -> Event | None:
    match kind:
        case "execution_start":
            return Started(prompt_id)
        case "executing":
            return Executing(prompt_id, data["node"])
        case "progress":
            return Progress(prompt_id, str(data["node"]), float(data["value"]), float(data["max"]))
        case "executed":
            return Executed(prompt_id, str(data["node"]), read_images(data["output"]))
        case "execution_success":
            return Success(prompt_id)
        case "execution_error":
            return Failed(prompt_id, execution_failure(data))
        case "execution_interrupted":
            return Interrupted(prompt_id)
    return None


SAMPLING_STARTS = 5
SAMPLING_ENDS = 95


class ProgressMeter:
    """Turns the events of one prompt into 0-100, never going back.

    The steps of `sampler_node` fill 5 to 95: they take nearly all the time. Progress of other
    nodes, as of a tiled decoder, counts from one again and is left out.
    """

    def __init__(self, sampler_node: str) -> None:
        self._sampler_node = sampler_node
        self.percent = 0

    def feed(self, event: Event) -> int:
        """Take one event and return the percentage now."""
        self.percent = max(self.percent, self._reading(event))
        return self.percent

    def _reading(self, event: Event) -> int:
        match event:
            case Started():
                return 1
            case Executing(node=node) if node == self._sampler_node:
                return SAMPLING_STARTS
            case Progress(node=node, value=value, max=steps) if node == self._sampler_node and steps > 0:
                share = min(max(value / steps, 0.0), 1.0)
                return SAMPLING_STARTS + round((SAMPLING_ENDS - SAMPLING_STARTS) * share)
            case Success():
                return 100
        return 0
