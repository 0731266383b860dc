"""Addresses of nodes: credentials go into a header and nowhere else."""

import base64

import pytest

from jobs.comfy.address import Address
from jobs.comfy.client import ComfyClient
from jobs.comfy.events import EventStream


def test_credentials_become_a_header_and_leave_the_address() -> None:
    address = Address.parse("https://user:p%40ss%2Fword@gpu.example:8443/comfy/")
    assert address.url == "https://gpu.example:8443/comfy"
    assert address.websocket_url == "wss://gpu.example:8443/comfy"
    token = base64.b64encode(b"user:p@ss/word").decode()
    assert address.headers == {"Authorization": f"Basic {token}"}


@pytest.mark.parametrize(
    ("given", "url", "websocket_url"),
    [
        ("http://10.0.0.5:8188", "http://10.0.0.5:8188", "ws://10.0.0.5:8188"),
        (" http://gpu/ ", "http://gpu", "ws://gpu"),
        ("http://[::1]:8188/", "http://[::1]:8188", "ws://[::1]:8188"),
        ("https://gpu/a/b//", "https://gpu/a/b", "wss://gpu/a/b"),
    ],
)
def test_an_address_without_credentials_has_no_header(given: str, url: str, websocket_url: str) -> None:
    address = Address.parse(given)
    assert (address.url, address.websocket_url, address.headers) == (url, websocket_url, {})


def test_a_password_of_any_letters_is_sent_in_utf_8() -> None:
    header = Address.parse("http://юзер:пароль@gpu").headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "юзер:пароль"


@pytest.mark.parametrize(
    "url",
    [
        "gpu:8188",
        "ftp://user:secret@gpu",
        "http://",
        "http://user:sec/ret@gpu",
        "http://user:secret@gpu:port",
        "http://user:secret@gpu/?a=b",
        "http://user:secret@gpu/#x",
        "http://user:secret@[::1",
    ],
)
def test_a_bad_address_is_refused_without_repeating_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="ComfyUI address") as caught:
        Address.parse(url)
    assert "sec" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_nothing_that_is_printed_shows_the_password() -> None:
    url = "http://user:secret@gpu:8188"
    client, stream = ComfyClient(url), EventStream(url, "c", "p")
    shown = f"{Address.parse(url)!r} {client!r} {client.url} {stream!r}"
    assert "secret" not in shown
    assert base64.b64encode(b"user:secret").decode() not in shown
    assert "http://gpu:8188" in shown
