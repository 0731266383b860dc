"""Django's Redis cache with one client, and so one pool of connections, for all threads of a process.

Django makes a cache for each thread, and a request has a thread of its own: each would open a connection. And
it makes a client for each operation, which takes longer than the operation.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.cache.backends import redis as django_redis
from redis import ConnectionPool, Redis


class SharedRedisCache(django_redis.RedisCache):
    """The backend that CACHES names; for one server."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Client


class _Client(django_redis.RedisCacheClient):
    def get_client(self, key: object = None, *, write: bool = False) -> Redis:
        return _shared(self._servers[0], **self._pool_options)  # type: ignore[attr-defined]


@cache
def _shared(url: str, **options: Any) -> Redis:
    return Redis(connection_pool=ConnectionPool.from_url(url, **options))
