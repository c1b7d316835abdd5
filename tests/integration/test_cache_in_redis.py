"""The cache's own steps: what is kept, for how long, and what makes room."""

from __future__ import annotations

import redis

from ledger import cache, keys
from ledger.cache import Kept
from ledger.cache_key import CacheKey, key_of
from ledger.messages import Request, Result, State
from ledger.redis_client import Ledger
from tests.support.snapshots import everything

HOUR_MS = 3_600_000
ROOM = 20_000


def kept(text: str = "x" * 1000) -> Kept:
    return Kept.of(Result(job_id="1", state=State.SUCCEEDED, text=text))


def asked(number: int = 0, tenant: str = "acme") -> tuple[Request, CacheKey]:
    request = Request(prompt=f"question {number}", agent_id="a", tenant=tenant, session_id="s")
    return request, key_of(request, "fingerprint")


def put(
    ledger: Ledger,
    number: int,
    *,
    ttl_ms: int = HOUR_MS,
    tenant: str = "acme",
    text: str = "x" * 1000,
) -> bool:
    call = cache.keep(kept(text), *asked(number, tenant), ttl_ms=ttl_ms, most_bytes=ROOM)
    return ledger.run(call)


def there(ledger: Ledger, number: int, tenant: str = "acme") -> bool:
    return ledger.exists(asked(number, tenant)[1].entry)


def total(ledger: Ledger) -> int:
    return int(ledger.redis.hget(keys.CACHED_BYTES, "total") or 0)


def test_the_oldest_answers_make_room_for_the_newest(ledger: Ledger) -> None:
    for number in range(20):
        assert put(ledger, number, ttl_ms=HOUR_MS + number)  # all in the same millisecond, perhaps

    left = [number for number in range(20) if there(ledger, number)]

    assert left == list(range(20 - len(left), 20))
    assert 5 < len(left) < 10
    assert 0 < total(ledger) <= ROOM
    assert ledger.redis.zcard(keys.CACHED) == len(left)


def test_an_answer_that_is_kept_again_is_counted_once(ledger: Ledger) -> None:
    put(ledger, 1)
    once = total(ledger)
    put(ledger, 1)
    assert total(ledger) == once


def test_an_answer_larger_than_the_cache_is_not_kept_and_pushes_nothing_out(ledger: Ledger) -> None:
    put(ledger, 1)
    assert not put(ledger, 2, text="x" * ROOM)
    assert there(ledger, 1)
    assert not there(ledger, 2)


def test_an_answer_goes_when_its_time_is_over_and_is_counted_no_more(ledger: Ledger) -> None:
    put(ledger, 1, ttl_ms=1)
    with redis.Redis.from_url(ledger.url) as server:
        while server.exists(asked(1)[1].entry):
            server.time()
    put(ledger, 2)
    once = total(ledger)
    put(ledger, 2)
    assert total(ledger) == once
    assert ledger.redis.zcard(keys.CACHED) == 1


def test_one_step_lets_go_of_a_hundred_at_most_whose_time_is_over(ledger: Ledger) -> None:
    ledger.redis.zadd(keys.CACHED, {keys.cache("acme", str(number)): 1 for number in range(150)})

    put(ledger, 1)

    assert ledger.redis.zcard(keys.CACHED) == 50 + 1
    put(ledger, 2)
    assert ledger.redis.zcard(keys.CACHED) == 2


def test_forgetting_looks_through_all_of_a_large_cache(ledger: Ledger) -> None:
    for number in range(1500):
        call = cache.keep(kept("x"), *asked(number), ttl_ms=HOUR_MS, most_bytes=10**9)
        ledger.run(call)
    ledger.run(cache.keep(kept("x"), *asked(1, "other"), ttl_ms=HOUR_MS, most_bytes=10**9))

    cursor, removed = "0", 0
    while True:
        cursor, some = ledger.run(cache.forget("acme", None, None, cursor=cursor))
        removed += some
        if cursor == "0":
            break

    assert removed == 1500
    assert there(ledger, 1, "other")
    assert ledger.redis.zcard(keys.CACHED) == 1


def test_where_nothing_is_cached_a_look_changes_nothing(ledger: Ledger) -> None:
    request, key = asked()
    before = everything(ledger.url)
    call = cache.answer(
        "1", request, "{}", key, instance="inst0", max_attempts=3, retention_ms=HOUR_MS
    )
    assert ledger.run(call) is False
    assert everything(ledger.url) == before


def test_an_answered_job_is_made_once(ledger: Ledger) -> None:
    request, key = asked()
    put(ledger, 0)
    call = cache.answer(
        "1", request, "{}", key, instance="inst0", max_attempts=3, retention_ms=HOUR_MS
    )
    assert ledger.run(call) is True
    before = everything(ledger.url)
    assert ledger.run(call) is False  # a submit finds it
    assert everything(ledger.url) == before
