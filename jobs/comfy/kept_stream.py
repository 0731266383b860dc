"""The WebSocket of one edit, kept for the next: opening one costs more than hearing all that a prompt says.

Knows nothing of jobs. Whoever posts a prompt under the client id of a kept stream has to write down that it
did, for whoever may have to follow the prompt in its place.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

from jobs.comfy.events import EventStream


class KeptStream:
    """At most one open stream between two prompts, for one thread and the length of a `with` block.

    A stream is kept only where it has itself told of its prompt's success: one that was lost or is deaf is
    closed, and its id not used again. Nobody reads it from there to the next prompt. What comes meanwhile are
    short notes of the queue, of which the system holds thousands; after that ComfyUI would wait for whoever
    does not read: leave the block where there is no next prompt at once.
    """

    def __init__(self) -> None:
        self._kept: EventStream | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def client_ids(self) -> dict[str, UUID]:
        """By the address of its node, the client id of the stream that is kept; empty without one."""
        return {self._kept.base_url: UUID(self._kept.client_id)} if self._kept else {}

    @contextmanager
    def of(self, base_url: str, client_id: UUID, prompt_id: str) -> Iterator[EventStream]:
        """Yield the stream of a prompt: the kept one where address and client id are its own, else a new one.

        It is kept afterwards where the block ends well and has not closed it.
        """
        if self.client_ids != {base_url: client_id}:
            self._close()
        with ExitStack() as unless_kept:
            if self._kept:
                stream, self._kept = self._kept, None
                unless_kept.push(stream)
                stream.turn_to(prompt_id)
            else:
                stream = unless_kept.enter_context(EventStream(base_url, client_id.hex, prompt_id))
            yield stream
            if stream.has_told_success:
                unless_kept.pop_all()
                self._kept = stream

    def _close(self) -> None:
        if self._kept:
            self._kept.close()
            self._kept = None
