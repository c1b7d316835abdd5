"""Workers of a local stack that end are started again, until they are given up."""

from __future__ import annotations

import os
import signal
from typing import Any

import redis

from ledger import keys
from producer.local import LocalStack
from producer.local.restarts import Restarts


def test_a_worker_that_is_killed_is_started_again() -> None:
    with LocalStack(instances=1) as stack, redis.Redis.from_url(stack.redis_url) as store:
        with store.pubsub() as announcements:
            announcements.subscribe(keys.INSTANCES)
            assert next(announcements.listen())["type"] == "subscribe"
            os.kill(stack.pids["inst0"], signal.SIGKILL)
            said = [next(announcements.listen())["data"] for _ in range(2)]
        assert said == [b"inst0 starting", b"inst0 ready"]
        assert store.hget(keys.entry("inst0"), "pid") != str(stack.pids["inst0"]).encode()


def test_a_worker_that_dies_again_and_again_is_given_up(call: Any, fake: Any) -> None:
    caller, processes = call(fake("once", "out of memory"))
    worker = next(one for one in processes if "fake_worker" in " ".join(one.cmdline()))
    worker.kill()
    said = [next(caller.stderr) for _ in range(5)]
    assert said[:4] == [
        "apexq: inst0 ended (SIGKILL); starting it again\n",
        *["apexq: inst0 ended (exit code 1); starting it again\n"] * 3,
    ]
    assert "5 times in 60 s and is not started again; the last line: out of memory" in said[4]


def test_a_worker_that_cannot_load_its_model_any_more_is_not_started_again(
    call: Any, fake: Any
) -> None:
    caller, processes = call(fake("once", str(os.EX_CONFIG)))
    worker = next(one for one in processes if "fake_worker" in " ".join(one.cmdline()))
    worker.kill()
    assert [next(caller.stderr) for _ in range(2)] == [
        "apexq: inst0 ended (SIGKILL); starting it again\n",
        "apexq: inst0 is not started again; its log says why\n",
    ]


def test_deaths_far_apart_are_forgotten() -> None:
    restarts = Restarts(limit=3, window_s=60)
    assert [restarts.after_death(at) for at in (0, 10, 70, 80, 81)] == [0.1, 0.2, 0.2, 0.2, None]
