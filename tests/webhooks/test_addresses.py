"""Which addresses are sent to: everything public, and nothing else in any disguise."""

import socket
import threading
from ipaddress import ip_address
from typing import Any

import pytest

from webhooks import gateway
from webhooks.addresses import Address, AddressRefused, check_ip, is_public

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "100.127.255.255", "::1", "fc00::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:192.168.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b::c0a8:101",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "0.1.2.3",  # noqa: S104
    "169.254.169.254", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::7f00:1", "fe80::1", "fec0::1", "ff02::1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "2001:db8::1",
    "3fff::1", "100::1", "fd00:ec2::254", "5f00::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_sent_to(text: str) -> None:
    check_ip(ip_address(text), allow_private=False)


@pytest.mark.parametrize("text", [*PRIVATE, *NEVER])
def test_no_other_address_is_sent_to(text: str) -> None:
    with pytest.raises(AddressRefused):
        check_ip(ip_address(text), allow_private=False)


@pytest.mark.parametrize("text", PRIVATE)
def test_private_networks_are_sent_to_where_the_setting_allows_them(text: str) -> None:
    check_ip(ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", NEVER)
def test_link_local_and_other_odd_addresses_are_never_sent_to(text: str) -> None:
    with pytest.raises(AddressRefused):
        check_ip(ip_address(text), allow_private=True)


def test_nothing_is_called_public_that_pythons_own_list_does_not() -> None:
    """Drawn from every /16 of IPv4."""
    for network in range(2**16):
        address = ip_address(network << 16 | 1)
        assert not is_public(address) or address.is_global, address


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("https://shop.example", "shop.example", 443, "/", "shop.example"),
        ("https://shop.example/hook?a=1", "shop.example", 443, "/hook?a=1", "shop.example"),
        ("https://shop.example:8443/h", "shop.example", 8443, "/h", "shop.example:8443"),
        ("https://8.8.8.8/h", "8.8.8.8", 443, "/h", "8.8.8.8"),
        ("https://[2606:4700::1]:9000/h", "2606:4700::1", 9000, "/h", "[2606:4700::1]:9000"),
    ],
)
def test_an_address_is_taken_apart(url: str, host: str, port: int, path: str, header: str) -> None:
    address = Address.parse(url, allow_private=False)
    assert (address.host, address.port, address.path, address.host_header) == (host, port, path, header)


@pytest.mark.parametrize(
    "url",
    [
        "", "shop.example", "ftp://shop.example/", "http://shop.example/", "file:///etc/passwd", "https://",
        "https:///path", "https://user@shop.example/", "https://user:pass@shop.example/", "https://@shop.example",
        "https://shop.example:22/", "https://shop.example:0/", "https://shop.example:99999/",
        "https://shop.example:x/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest", "https://[fe80::1%25eth0]/", "https://sh op.example/",
        "https://shop.example/\r\nHost: x", "https://shop.example\\@evil.example/", "https://шоп.example/",
        "https://[bad/", f"https://shop.example/{'x' * 500}",
    ],
)  # fmt: skip
def test_a_bad_address_is_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(AddressRefused):
        gateway.check_url(url, allow_private=False)


def test_plain_http_is_for_ones_own_network() -> None:
    assert Address.parse("http://localhost:9000/h", allow_private=True).port == 9000
    assert Address.parse("http://shop.example/h", allow_private=True).port == 80


class TestNames:
    """What a name leads to is looked at, whatever it is called."""

    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # A name that is not resolved in time passes: not because the machine is busy.
        monkeypatch.setattr(gateway, "LOOKUP_SECONDS", 60.0)

    @pytest.mark.parametrize("text", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1"])
    def test_a_name_that_leads_inside_is_refused(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gateway, "lookup", lambda *_: [ip_address("8.8.8.8"), ip_address(text)])
        with pytest.raises(AddressRefused):
            gateway.check_url("https://inside.example/", allow_private=False)
        with pytest.raises(AddressRefused):
            gateway.post("https://inside.example/", b"{}", {}, allow_private=False)

    def test_a_name_that_leads_outside_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gateway, "lookup", lambda *_: [ip_address("8.8.8.8")])
        gateway.check_url("https://shop.example/", allow_private=False)

    def test_a_name_that_can_not_be_resolved_now_passes_until_it_is_sent_to(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any) -> Any:
            raise socket.gaierror(-3, "try again")

        monkeypatch.setattr(gateway, "lookup", fail)
        gateway.check_url("https://shop.example/", allow_private=False)
        with pytest.raises(gateway.NoAnswer, match="can not be resolved"):
            gateway.post("https://shop.example/", b"{}", {}, allow_private=False)

    def test_a_resolver_that_is_silent_holds_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = threading.Event()
        monkeypatch.setattr(gateway, "lookup", lambda *_: ended.wait(60) and [])
        monkeypatch.setattr(gateway, "LOOKUP_SECONDS", 0.05)
        gateway.check_url("https://shop.example/", allow_private=False)
        ended.set()

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost", "0"])
    def test_odd_spellings_of_ones_own_machine_are_resolved_and_refused(self, host: str) -> None:
        with pytest.raises(AddressRefused):
            gateway.check_url(f"https://{host}/", allow_private=False)
