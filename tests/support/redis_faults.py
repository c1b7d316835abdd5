"""What happens to a Redis, and jobs that it happens to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from ledger.messages import Result
from producer import Job, LLMClient
from tests.support import servers
from tests.support.waiting import eventually

SLOW = "[[mock tokens=300 tps=100]]"


def ask(client: LLMClient, prompt: str = "hello", **options: object) -> Job:
    return client.submit(prompt, agent_id="a", max_tokens=400, **options)  # type: ignore[arg-type]


def ended_once(job: Job) -> Result:
    """The record of a job that ended well in its first attempt."""
    result = job.result(60)
    assert (result.state, result.attempt) == ("succeeded", 1)
    return result


@contextmanager
def full(admin: redis.Redis, data: Path) -> Iterator[None]:
    """A server that has no memory left."""
    admin.config_set("maxmemory", 1)
    try:
        yield
    finally:
        admin.config_set("maxmemory", 0)


@contextmanager
def unable_to_save(admin: redis.Redis, data: Path) -> Iterator[None]:
    """A server whose disk takes no snapshot."""
    gone = data / "gone"
    gone.mkdir()
    admin.config_set("dir", str(gone))
    gone.rmdir()
    admin.config_set("appendonly", "no")
    admin.config_set("save", "3600 1")
    admin.bgsave()
    eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err")
    try:
        yield
    finally:
        admin.config_set("dir", str(data))
        admin.bgsave()
        eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "ok")


@contextmanager
def replica(admin: redis.Redis, data: Path) -> Iterator[None]:
    """A server that was made a replica, as after a failover."""
    admin.replicaof("127.0.0.1", servers.free_port())
    try:
        yield
    finally:
        admin.replicaof("NO", "ONE")
