"""Where a request came from, behind any number of proxies that are or are not our own."""

import pytest

from qwenedit.lib.http import client_address


@pytest.mark.parametrize(
    ("remote_addr", "forwarded_for", "proxies", "client"),
    [
        ("203.0.113.5", "", 0, "203.0.113.5"),
        ("203.0.113.5", "185.71.76.1", 0, "203.0.113.5"),
        ("10.0.0.1", "203.0.113.5", 1, "203.0.113.5"),
        ("10.0.0.1", "185.71.76.1, 203.0.113.5", 1, "203.0.113.5"),
        ("10.0.0.1", "185.71.76.1,203.0.113.5,10.0.0.2", 2, "203.0.113.5"),
        ("", "203.0.113.5", 1, "203.0.113.5"),
        ("10.0.0.1", "junk, 203.0.113.5", 1, "203.0.113.5"),
        ("10.0.0.1", "203.0.113.5:51000", 1, "203.0.113.5"),
        ("10.0.0.1", "[2A02:5180:0::1]:51000", 1, "2a02:5180::1"),
        ("10.0.0.1", "2a02:5180::1", 1, "2a02:5180::1"),
        ("::ffff:203.0.113.5", "", 0, "203.0.113.5"),
        ("::1", "", 0, "::1"),
        ("10.0.0.1", "", 1, None),
        ("10.0.0.1", "203.0.113.5", 2, None),
        ("10.0.0.1", "203.0.113.5, unknown", 1, None),
        ("10.0.0.1", "203.0.113.5,", 1, None),
        ("10.0.0.1", "203.0.113.5 10.0.0.2", 1, None),
        ("", "203.0.113.5", 0, None),
        ("/run/gunicorn.sock", "", 0, None),
    ],
)
def test_the_client_is_counted_from_the_right(
    remote_addr: str, forwarded_for: str, proxies: int, client: str | None
) -> None:
    assert client_address(remote_addr, forwarded_for, proxies) == client


def test_there_cannot_be_fewer_than_no_proxies() -> None:
    with pytest.raises(ValueError, match="proxies"):
        client_address("203.0.113.5", "203.0.113.5", -1)
