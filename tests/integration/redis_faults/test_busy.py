"""Redis is busy with a script."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import redis

from ledger.redis_client import Ledger
from producer import LLMClient, RedisUnavailable
from tests.support import attempts
from tests.support.redis_faults import ask
from tests.support.registering import register
from tests.support.waiting import eventually
from tests.torture.server import Server


def test_a_redis_that_is_busy_with_a_script_is_away_not_damaged(
    server: Server, client: LLMClient, ledger: Ledger, admin: redis.Redis
) -> None:
    # Given
    register(ledger)
    job = ask(client)
    # When
    with busy(admin, server.url), pytest.raises(RedisUnavailable):
        # Then
        attempts.claimed(ledger, job.id)


@contextmanager
def busy(admin: redis.Redis, url: str) -> Iterator[None]:
    """A server that has run one script for longer than others wait for it."""
    admin.config_set("lua-time-limit", 10)
    spin = "while redis.call('EXISTS', 'never') == 0 do end"

    def occupy() -> None:
        with redis.Redis.from_url(url) as other, pytest.raises(redis.ResponseError):
            other.eval(spin, 0)

    with ThreadPoolExecutor(1) as pool:
        spinning = pool.submit(occupy)
        try:
            eventually(lambda: is_busy(admin))
            yield
        finally:
            admin.script_kill()
            spinning.result(10)


def is_busy(admin: redis.Redis) -> bool:
    try:
        admin.exists("anything")
    except redis.ResponseError as error:
        return "BUSY" in str(error)
    return False
