"""Reading a socket in large pieces."""

import socket

import pytest

from jobs.comfy.buffered import BufferedSocket


def test_what_was_sent_at_once_is_handed_out_as_asked_for() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        BufferedSocket.connected_to(*server.getsockname(), timeout=5) as reader,
    ):
        writer, _ = server.accept()
        with writer:
            writer.sendall(b"HTTP/1.1 101\r\n")

            assert [reader.recv(1), reader.recv(3), reader.recv(100)] == [b"H", b"TTP", b"/1.1 101\r\n"]
            reader.settimeout(0.05)
            with pytest.raises(TimeoutError):
                reader.recv(1)
        assert reader.recv(1) == b""


def test_nobody_listening_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        BufferedSocket.connected_to("127.0.0.1", 1, timeout=5)
