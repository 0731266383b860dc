"""The cache's connections."""

import threading

import redis
from django.core.cache import cache


def test_threads_share_the_connections_of_the_cache(valkey: redis.Redis) -> None:
    cache.set("seen", 0)
    before = valkey.info("stats")["total_connections_received"]
    for _ in range(10):
        thread = threading.Thread(target=lambda: cache.incr("seen"))
        thread.start()
        thread.join(30)

    assert cache.get("seen") == 10
    assert valkey.info("stats")["total_connections_received"] == before
