"""A socket that is read in large pieces.

The WebSocket library asks for the answer to its handshake byte by byte, and three times for every message:
with a question to the system for each, that is a tenth of what an edit costs a worker.
"""

from __future__ import annotations

import socket
from typing import Self

PIECE = 16 * 1024
KEEPING_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}  # seconds, seconds, times


class BufferedSocket(socket.socket):
    """A TCP connection whose `recv` hands out what was read ahead; nothing but `recv` may read from it."""

    _ahead = b""

    @classmethod
    def connected_to(cls, host: str, port: int, *, timeout: float) -> Self:
        """Connect, with `timeout` seconds for each address and then for every operation. Raises OSError.

        While the node says nothing the connection is kept alive, as the WebSocket library does with its own.
        """
        with socket.create_connection((host, port), timeout) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in KEEPING_ALIVE.items():
                if hasattr(socket, name):
                    plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            buffered = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        buffered.settimeout(timeout)
        return buffered

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return at most `size` bytes, as soon as there are any; none at the end of the stream."""
        if not self._ahead:
            self._ahead = super().recv(max(size, PIECE), flags)
        piece, self._ahead = self._ahead[:size], self._ahead[size:]
        return piece
