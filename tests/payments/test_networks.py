"""Who may send notifications: addresses as sockets and headers give them, and what only looks like one."""

import pytest

from payments.networks import is_trusted


@pytest.mark.parametrize(
    "address",
    [
        "185.71.76.1",
        "185.71.76.0",
        "185.71.76.31",
        "185.71.77.30",
        "77.75.153.127",
        "77.75.156.11",
        "77.75.156.35",
        "77.75.154.128",
        "77.75.154.255",
        "2a02:5180::1",
        "2A02:5180:0:1509::ffff",
        "2a02:5180:1::1",
        "::ffff:185.71.76.1",
        "::ffff:b947:4c01",
        "[::ffff:185.71.76.1]:443",
        "185.71.76.1:40112",
        "[2a02:5180::1]",
        "[2a02:5180::1]:40112",
        " 185.71.76.1 ",
    ],
)
def test_yookassas_own_addresses_are_trusted(address: str) -> None:
    assert is_trusted(address)


@pytest.mark.parametrize(
    "address",
    [
        "185.71.76.32",
        "185.71.75.255",
        "77.75.153.128",
        "77.75.156.12",
        "77.75.154.127",
        "2a02:5181::1",
        "2a02:517f:ffff::1",
        "::185.71.76.1",
        "64:ff9b::185.71.76.1",
        "2002:b947:4c01::1",
        "::ffff:8.8.8.8",
        "127.0.0.1",
        "::1",
        "",
        " ",
        "unknown",
        "185.71.76.1, 8.8.8.8",
        "185.71.76.1/27",
        "185.71.76",
        "185.071.76.1",
        "0xb9.0x47.0x4c.0x01",
        "3108457473",
        "185.71.76.1:port",
        "185.71.76.1:",
        "[185.71.76.1",
        "185.71.76.1]",
        "[[2a02:5180::1]]",
        "2a02:5180::1]:443",
        "１８５.71.76.1",
        "185.71.76.1\x00",
        "x" * 100_000,
    ],
)
def test_all_others_are_not(address: str) -> None:
    assert not is_trusted(address)


def test_an_operator_may_name_networks_of_their_own() -> None:
    networks = ["10.0.0.0/8", "::1"]
    assert is_trusted("10.1.2.3", networks)
    assert is_trusted("::1", networks)
    assert not is_trusted("185.71.76.1", networks)
    assert not is_trusted("10.1.2.3", [])


def test_a_network_that_is_none_is_the_operators_mistake() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        is_trusted("10.1.2.3", ["10.0.0.1/8"])
