"""An instance with slots runs that many jobs at once, and makes way only when all are taken."""

from __future__ import annotations

import json

from ledger.redis_client import Ledger
from ledger.stream import replay
from producer import LLMClient
from tests.conftest import StartWorkers

TWO_SLOTS = {"APEX_LLM_INSTANCES": json.dumps([{"name": "inst0", "slots": 2}])}


def test_two_slots_run_two_jobs_and_the_third_waits(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env=TWO_SLOTS)
    jobs = [
        client.submit("[[mock tokens=100 tps=100]]", agent_id=f"a{n}", priority="LOW")
        for n in range(3)
    ]
    streams = [job.stream(timeout_s=20) for job in jobs]
    for events in streams[:2]:
        next(events)
    assert [job.status().state for job in jobs] == ["running", "running", "queued"]

    urgent = client.complete("hello", agent_id="b", priority="URGENT")

    assert urgent.timings.queued_ms < 500
    for job in jobs:
        assert len(job.result(timeout=20).text.split()) == 100
    made_way = [e for job in jobs for e in replay(ledger, job.id) if e.kind == "requeued"]
    assert len(made_way) == 1  # not both of those that ran
    assert client.get_stats()["tokens_held"] == 0
