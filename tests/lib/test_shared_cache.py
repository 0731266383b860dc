"""The cache's client and its connections."""

import threading

import redis
from django.core.cache import cache, caches


def test_threads_share_the_connections_of_the_cache(valkey: redis.Redis) -> None:
    cache.set("seen", 0)
    before = valkey.info("stats")["total_connections_received"]
    for _ in range(10):
        thread = threading.Thread(target=lambda: cache.incr("seen"))
        thread.start()
        thread.join(30)

    assert cache.get("seen") == 10
    assert valkey.info("stats")["total_connections_received"] == before


def test_threads_share_the_client_of_the_cache() -> None:
    clients = []
    thread = threading.Thread(target=lambda: clients.append(caches["default"]._cache.get_client()))
    thread.start()
    thread.join(30)

    assert clients == [cache._cache.get_client(write=True)]
