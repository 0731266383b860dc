"""The cache's connections, which all threads of a process share."""

from __future__ import annotations

from functools import cache
from typing import Any

from redis import ConnectionPool


class SharedPool(ConnectionPool):
    """The pool of Django's cache, one for all threads.

    Django makes a cache for each thread, and a request has a thread of its own: each would open a connection.
    """

    @classmethod
    def from_url(cls, url: str, **options: Any) -> SharedPool:
        """Return the one pool for this address."""
        return _pool(url, **options)


@cache
def _pool(url: str, **options: Any) -> SharedPool:
    return super(SharedPool, SharedPool).from_url(url, **options)
