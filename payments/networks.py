"""Which networks YooKassa's notifications come from. Knows neither requests nor settings."""

from collections.abc import Iterable
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from qwenedit.lib.http import parse_address

# https://yookassa.ru/developers/using-api/webhooks#ip, checked in November 2026.
YOOKASSA_NETWORKS = (
    "185.71.76.0/27",
    "185.71.77.0/27",
    "77.75.153.0/25",
    "77.75.156.11",
    "77.75.156.35",
    "77.75.154.128/25",
    "2a02:5180::/32",
)


def is_trusted(address: str, networks: Iterable[str] = YOOKASSA_NETWORKS) -> bool:
    """Tell whether `address` is in one of `networks`; what is no address is in none.

    Accepts IPv4 mapped into IPv6, ports and brackets. Raises ValueError for a network that is none.
    """
    parsed = parse_address(address)
    return parsed is not None and any(parsed in _network(network) for network in networks)


@cache
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)
