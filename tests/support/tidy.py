"""A ledger that is emptied while a worker of inst0 lives."""

from __future__ import annotations

from contextlib import closing, suppress

from ledger import keys
from ledger.errors import ApexError
from ledger.redis_client import Ledger
from ledger.settings import load_settings
from producer import LLMClient
from tests.support.hands import LISTS
from tests.support.snapshots import WORKERS_OWN
from tests.support.waiting import eventually

REGISTRY = (keys.INSTANCES, keys.SEEN, keys.ROUTES, keys.entry("inst0"))
KEPT = (*(name.decode() for name in WORKERS_OWN), *REGISTRY)
OF_JOBS = ("run_ms", "rest", "closed", "quiet")  # what jobs and drains leave in its entry


def tidy(url: str) -> None:
    """Ends what runs on inst0, and removes all but what its worker has put there."""
    with closing(Ledger(url)) as ledger:
        ledger.redis.delete(keys.waiting("inst0"), keys.DELAYED, *LISTS)
        _end_what_runs(ledger)
        names = [name for name in ledger.redis.scan_iter(count=1000) if not name.startswith(KEPT)]
        if names:
            ledger.redis.delete(*names)
        ledger.redis.hdel(keys.entry("inst0"), *OF_JOBS)
        for name in ledger.redis.hkeys(keys.INSTANCES):
            if name != "inst0":
                ledger.redis.hdel(keys.INSTANCES, name)
                ledger.redis.zrem(keys.SEEN, name)


def _end_what_runs(ledger: Ledger) -> None:
    running = keys.running("inst0")
    with LLMClient(load_settings(env={}, redis_url=ledger.url)) as client:
        for job_id in ledger.redis.zrange(running, 0, -1):
            with suppress(ApexError):
                client.job(job_id).cancel()
    eventually(lambda: not ledger.redis.zcard(running))
