"""Where a request came from: addresses as they are written in sockets and headers.

Knows no framework and no settings: the caller says how many proxies are its own.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

BRACKETED = re.compile(r"\[([^\[\]]*)\](?::[0-9]{1,5})?")
IPV4_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address in `text`, or None when it is anything else.

    A port and the brackets of IPv6 are dropped; an IPv4 address mapped into IPv6 is given as IPv4.
    """
    text = text.strip()
    if match := BRACKETED.fullmatch(text) or IPV4_WITH_PORT.fullmatch(text):
        text = match[1]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(remote_addr: str, forwarded_for: str, trusted_proxies: int) -> str | None:
    """Return the client's address in its canonical form, or None when it cannot be trusted.

    Each of our `trusted_proxies` appends the address it was called from to X-Forwarded-For, so the client's
    is that many entries from the right: what stands left of it, the client may have written. Fewer entries
    mean that the request did not come through all of them. Without proxies of ours the header is not read.
    """
    if trusted_proxies < 0:
        raise ValueError("there are no fewer than 0 proxies")
    if trusted_proxies == 0:
        address = parse_address(remote_addr)
    else:
        entries = forwarded_for.split(",")
        address = parse_address(entries[-trusted_proxies]) if len(entries) >= trusted_proxies else None
    return None if address is None else str(address)
