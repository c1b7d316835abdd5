"""Five workers that are replaced one after the other while they work."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ledger import keys
from ledger.messages import State
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.support.numbered import numbers
from tests.support.waiting import eventually
from tests.support.workers import working

SHORT_GRACE = {"APEX_GRACE_S": "0.3"}


def test_a_rolling_restart_of_five_workers_under_load_fails_no_job(
    redis_url: str, client: LLMClient, ledger: Ledger, tmp_path: Path
) -> None:
    # Given five workers at work: short jobs, and some that outlast the grace period
    names = [f"inst{number}" for number in range(5)]
    with ExitStack() as stack:
        workers = stack.enter_context(working(redis_url, tmp_path, *names, env=SHORT_GRACE))
        jobs, tokens = [], [300 if n % 10 == 0 else 20 for n in range(40)]
        # When each is replaced in turn, while jobs keep coming
        for name, worker in zip(names, workers, strict=True):
            jobs += client.submit_many(
                {
                    "prompt": f"[[mock tokens={count} tps=200]]",
                    "agent_id": f"agent{n % 25}",
                    "priority": ("LOW", "NORMAL", "HIGH")[n % 3],
                    "max_tokens": 300,
                }
                for n, count in enumerate(tokens)
            )
            eventually(lambda name=name: ledger.redis.zcard(keys.running(name)))
            worker.stop(timeout_s=15)
            stack.enter_context(working(redis_url, tmp_path, name, env=SHORT_GRACE))
        # Then
        records = [job.outcome(timeout=90) for job in jobs]
    assert {record.state for record in records} == {State.SUCCEEDED}
    assert {record.attempt for record in records} == {1}
    for record, count in zip(records, tokens * len(names), strict=True):
        assert numbers(record.text) == list(range(count))
    assert client.get_stats()["tokens_held"] == 0
