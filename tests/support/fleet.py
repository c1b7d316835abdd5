"""Instances that come and go without a process: as the ledger sees them."""

from __future__ import annotations

from ledger import instances, keys, status
from ledger.redis_client import Ledger
from ledger.rehoming import read_waiting
from tests.support.registering import OWNER, register

LONG_AGO_S = 100


def come(ledger: Ledger, *names: str) -> None:
    """Their workers register, load their models and are ready."""
    for name in names:
        register(ledger, name)
        assert ledger.run(instances.set_state(name, OWNER, "ready"))


def stop(ledger: Ledger, name: str) -> None:
    """Its worker has ended as it was told to."""
    assert ledger.run(instances.set_state(name, OWNER, "stopped"))


def go(ledger: Ledger, name: str) -> None:
    """Its worker was last heard long ago."""
    seconds, _ = ledger.redis.time()
    ledger.redis.zadd(keys.SEEN, {name: (seconds - LONG_AGO_S) * 1000})


def waiting(ledger: Ledger, name: str) -> list[str]:
    """The ids of the jobs that wait for an instance, in the order in which it would serve them."""
    return [job.job_id for job in ledger.run(read_waiting(name, count=100_000)).jobs]


def instance_of(ledger: Ledger, job_id: str) -> str:
    """The instance that has a job."""
    entry = ledger.run(status.read_job(job_id))
    assert entry is not None
    return entry.facts.instance
