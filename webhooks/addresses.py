"""Which addresses may be sent to. Knows URLs and networks, opens no connection.

A URL comes from a stranger, and whatever it names is asked from inside our network: so it may only name
what everybody can reach anyway.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import ClassVar, Self
from urllib.parse import SplitResult, urlsplit

from qwenedit.errors import DomainError

IP = IPv4Address | IPv6Address

# What IANA's registry of special-purpose addresses does not call globally reachable; written out, for
# `is_global` differs between releases of Python.
SPECIAL = [
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        # In IPv6 nothing is public but 2000::/3, less Teredo and protocol assignments, documentation, 6to4.
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
PUBLIC_IPV6 = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
# What a setting may open: one's own machine and network, but neither link-local addresses, where clouds
# keep their metadata, nor multicast.
PRIVATE = [
    ip_network(network)
    for network in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
        "::1/128", "fc00::/7",
    )
]  # fmt: skip
METADATA_IPV6 = ip_network("fd00:ec2::/32")
WELL_KNOWN_PORTS = {80, 443}
FIRST_FREE_PORT = 1024
LONGEST_URL = 500
UNSAFE = re.compile(r"[^\x21-\x7e]|[\\<>\"^`{|}]")


class AddressRefused(DomainError):
    """Nothing may be sent to this address."""

    code: ClassVar[str] = "invalid_request"
    status: ClassVar[int] = 400


@dataclass(frozen=True)
class Address:
    """A URL taken apart. `host` is a name or an IP address without brackets, `path` holds the query too."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, *, allow_private: bool) -> Self:
        """Read a URL. Raises AddressRefused where nobody may be sent to such a one, whoever it names."""
        parts, port = _split(url)
        if parts.scheme not in (("https", "http") if allow_private else ("https",)):
            wanted = "http:// or https://" if allow_private else "https://"
            raise AddressRefused(f"Give an address that begins with {wanted}.")
        host = parts.hostname
        if not host or len(host) > 253 or "%" in host:
            raise AddressRefused("The address names no host.")
        if "@" in parts.netloc:
            raise AddressRefused("An address with a user or a password is not sent to.")
        port = port or {"https": 443, "http": 80}[parts.scheme]
        if not allow_private and port < FIRST_FREE_PORT and port not in WELL_KNOWN_PORTS:
            raise AddressRefused(f"Port {port} is not sent to: use 443, or one from {FIRST_FREE_PORT} up.")
        literal = parse_ip(host)
        if literal is not None:
            check_ip(literal, allow_private=allow_private)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, host, port, path)

    @property
    def host_header(self) -> str:
        """Host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == {"https": 443, "http": 80}[self.scheme]
        return host if is_usual else f"{host}:{self.port}"


def parse_ip(text: str) -> IP | None:
    """Return the IP address that a host is, or None where it is a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def check_ip(address: IP, *, allow_private: bool) -> None:
    """Raise AddressRefused unless the address is global unicast, or private and those are allowed."""
    address = _embedded(address)
    if is_public(address) or (allow_private and is_private(address)):
        return
    if is_private(address):
        raise AddressRefused("The address is in a private network.")
    raise AddressRefused("The address is none of the public internet.")


def is_public(address: IP) -> bool:
    """Return whether everybody can reach the address."""
    if isinstance(address, IPv6Address) and address not in PUBLIC_IPV6:
        return False
    return not any(address in network for network in SPECIAL)


def is_private(address: IP) -> bool:
    """Return whether the address is of one's own machine or network."""
    return address not in METADATA_IPV6 and any(address in network for network in PRIVATE)


def _embedded(address: IP) -> IP:
    """Return the IPv4 address that is reached through an IPv6 one, else the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _split(url: str) -> tuple[SplitResult, int | None]:
    if len(url) > LONGEST_URL:
        raise AddressRefused(f"The address has more than {LONGEST_URL} characters.")
    if UNSAFE.search(url):
        raise AddressRefused("Percent-encode spaces and other special characters of the address.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("This is no valid address.") from None
    if port == 0:
        raise AddressRefused("This is no valid address.")
    return parts, port
