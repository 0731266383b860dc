"""The cache's connections."""

from functools import partial

import redis
from django.core.cache import cache

from tests.threads import at_once


def test_threads_share_the_connections_of_the_cache(valkey: redis.Redis) -> None:
    cache.set("seen", 0)
    before = valkey.info("stats")["total_connections_received"]
    for number in range(10):
        assert at_once(partial(cache.set, "seen", number)) == [None]

    assert cache.get("seen") == 9
    assert valkey.info("stats")["total_connections_received"] == before
