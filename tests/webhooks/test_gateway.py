"""Sending over real HTTP: bounded in time and size, and to the address that was checked."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.webhooks.receiver import Receiver, answer, run_receiver
from webhooks import gateway
from webhooks.addresses import AddressRefused
from webhooks.gateway import NoAnswer

SHORT = 1.0  # seconds, in place of fifteen
CERTIFICATE = Path(__file__).with_name(
    "shop_example.pem"
)  # of nobody: valid for a century, and its own authority
PATIENCE = 20.0  # what a machine that is busy may need for it


def post(url: str, **options: Any) -> gateway.Answer:
    return gateway.post(url, b'{"a":1}', {"webhook-id": "msg_1"}, **{"allow_private": True, **options})


def port_of(receiver: Receiver) -> int:
    return urlsplit(receiver.url).port or 0


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection by hand, after the request was read."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                with suppress(OSError):  # the gateway hangs up, as it should
                    talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        # Where the time was up before the gateway connected, somebody must end the wait for it.
        with suppress(OSError):
            socket.create_connection(server.getsockname()).close()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_payload_arrives_as_it_is(receiver: Receiver) -> None:
    receiver.answers = [answer(202, b"thank you", Retry_After="7")]

    got = post(receiver.url + "?shop=1")

    assert (got.status, got.body, got.retry_after) == (202, "thank you", "7")
    [request] = receiver.received
    assert (request.path, request.raw, request.id) == ("/hook?shop=1", b'{"a":1}', "msg_1")
    assert request.headers["host"] == f"127.0.0.1:{port_of(receiver)}"


def test_a_connection_serves_again(receiver: Receiver) -> None:
    for _ in range(3):
        post(receiver.url)
    assert len(receiver.received) == 3
    assert len(receiver.connections) == 1


def test_a_redirect_is_an_answer_and_not_followed(receiver: Receiver) -> None:
    receiver.answers = [answer(307, Location=receiver.url)]
    assert post(receiver.url).status == 307
    assert len(receiver.received) == 1


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert post(receiver.url).status == 204


def test_of_a_huge_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.answers = [answer(200, b"x" * 50_000_000)]
    got = post(receiver.url)
    assert got.status == 200
    assert set(got.body) == {"x"}
    assert len(got.body) < 100_000


def test_a_port_where_nobody_listens_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NoAnswer, match="refused"):
        post(f"http://127.0.0.1:{port}/")


def test_silence_ends_in_time(receiver: Receiver) -> None:
    ended = threading.Event()
    receiver.answers = [lambda _handler: ended.wait(PATIENCE)]
    began = time.monotonic()
    with pytest.raises(NoAnswer, match="in time"):
        post(receiver.url, total_seconds=SHORT)
    ended.set()
    assert time.monotonic() - began < PATIENCE


def test_a_head_that_drips_ends_in_time() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with raw_server(drip) as url, pytest.raises(NoAnswer):
        post(url, total_seconds=SHORT)


def test_a_body_that_drips_takes_nothing_from_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with raw_server(drip) as url:
        got = post(url, total_seconds=10 * SHORT)  # the head must be in time, on a slow machine too
    assert got.status == 200
    assert set(got.body) == {"x"}


def test_a_body_that_breaks_off_takes_nothing_from_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(lambda one: one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")) as url:
        assert post(url).status == 200


@pytest.mark.parametrize("words", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_an_answer_that_is_no_http_is_none(words: bytes) -> None:
    with raw_server(lambda one: one.sendall(words)) as url, pytest.raises(NoAnswer):
        post(url)


class TestANameThatChanges:
    """A name server that says one thing to the check and another to the connection gets one question."""

    def test_the_checked_address_is_the_one_connected_to(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = [[ip_address("127.0.0.1")], [ip_address("169.254.169.254")]]
        monkeypatch.setattr(gateway, "lookup", lambda *_: answers.pop(0))

        got = post(f"http://rebinding.example:{port_of(receiver)}/hook")

        assert got.status == 204
        assert len(answers) == 1
        [request] = receiver.received
        assert request.headers["host"] == f"rebinding.example:{port_of(receiver)}"

    def test_the_second_sending_checks_anew(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = [[ip_address("127.0.0.1")], [ip_address("169.254.169.254")]]
        monkeypatch.setattr(gateway, "lookup", lambda *_: answers.pop(0))
        url = f"http://rebinding.example:{port_of(receiver)}/hook"
        post(url)
        with pytest.raises(AddressRefused):
            post(url)
        assert len(receiver.received) == 1

    def test_another_address_of_the_name_is_tried_where_one_is_silent(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nobody, somebody = ip_address("127.9.9.9"), ip_address("127.0.0.1")
        monkeypatch.setattr(gateway, "lookup", lambda *_: [nobody, somebody])
        assert post(f"http://two.example:{port_of(receiver)}/hook").status == 204


class TestTLS:
    """The name in the address is the one that is asked for and that the certificate must have."""

    @pytest.fixture
    def secure(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
        """The receiver behind the certificate of shop.example, whom the gateway trusts."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        with run_receiver(context) as secure:
            pools = gateway.new_pools(str(CERTIFICATE))
            monkeypatch.setattr(gateway, "_pools", pools)
            monkeypatch.setattr(gateway, "lookup", lambda *_: [ip_address("127.0.0.1")])
            yield secure
            pools.clear()

    def test_the_name_of_the_certificate_is_sent_to(self, secure: Receiver) -> None:
        url = f"https://shop.example:{port_of(secure)}/hook"
        assert [post(url).status for _ in range(2)] == [204, 204]
        assert len(secure.connections) == 1
        assert secure.received[0].headers["host"] == f"shop.example:{port_of(secure)}"

    def test_another_name_is_not(self, secure: Receiver) -> None:
        with pytest.raises(NoAnswer, match="TLS"):
            post(f"https://other.example:{port_of(secure)}/hook")
        assert secure.received == []

    def test_a_connection_that_was_verified_for_one_name_serves_no_other(self, secure: Receiver) -> None:
        post(f"https://shop.example:{port_of(secure)}/hook")
        with pytest.raises(NoAnswer, match="TLS"):
            post(f"https://other.example:{port_of(secure)}/hook")

    def test_a_certificate_that_nobody_vouches_for_is_none(
        self, secure: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pools = gateway.new_pools()
        monkeypatch.setattr(gateway, "_pools", pools)
        with pytest.raises(NoAnswer, match="TLS"):
            post(f"https://shop.example:{port_of(secure)}/hook")
        pools.clear()

    def test_a_handshake_that_stalls_ends_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with raw_server(lambda one: one.recv(1) and None) as url, pytest.raises(NoAnswer):
            post(url.replace("http:", "https:"), total_seconds=SHORT)
