"""The WebSocket of one edit, kept for the next: opening one costs more than hearing all that a prompt says.

Knows nothing of jobs. Whoever posts a prompt under the client id of a kept stream has to write down that it
did, for whoever may have to follow the prompt in its place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

from jobs.comfy.events import EventStream


class KeptStream:
    """At most one open stream between two prompts, for one thread and the length of a `with` block.

    A stream is kept only where it has itself told of its prompt's success: one that was lost, is deaf, or
    whose id another runner may listen by, is closed, and its id not used again. Nobody reads it between two
    prompts, and ComfyUI waits for whoever does not read: leave the block where there is no next one at once.
    """

    def __init__(self) -> None:
        self._kept: EventStream | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kept := self._take():
            kept.close()

    @property
    def client_ids(self) -> dict[str, UUID]:
        """By the address of its node, the client id of the stream that is kept; empty without one."""
        return {self._kept.base_url: UUID(self._kept.client_id)} if self._kept else {}

    @contextmanager
    def of(self, base_url: str, client_id: UUID, prompt_id: str, *, adopted: bool) -> Iterator[EventStream]:
        """Yield the stream of a prompt: the kept one where address and client id are its own, else a new one.

        It is kept afterwards where the block ends well. `adopted`: somebody else has posted the prompt, and
        may still listen by the same id.
        """
        own = self.client_ids == {base_url: client_id} and not adopted
        stream = self._take()
        if stream and own:
            stream.turn_to(prompt_id)
        else:
            if stream:
                stream.close()
            stream = EventStream(base_url, client_id.hex, prompt_id)
            stream.connect()
        try:
            yield stream
        except BaseException:
            stream.close()
            raise
        if stream.has_told_success and not adopted:
            self._kept = stream
        else:
            stream.close()

    def _take(self) -> EventStream | None:
        taken, self._kept = self._kept, None
        return taken
