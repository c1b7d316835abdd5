"""A cancelled job: gone at once while it waits, and alone where several run."""

from __future__ import annotations

import json

import pytest

from ledger.messages import State
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from tests.conftest import StartWorkers
from tests.support.registering import register
from tests.support.waiting import eventually

READS_LONG = "[[mock tokens=5 first_ms=60000]]"  # and listens meanwhile
HANGS = "[[mock tokens=5 hang_at=0]]"
TWO_SLOTS = {"APEX_LLM_INSTANCES": json.dumps([{"name": "inst0", "slots": 2}])}


def ended(job: Job, timeout_s: float = 10) -> State:
    return job.outcome(timeout=timeout_s).state


def running(job: Job) -> bool:
    return job.status().state == "running"


def test_a_waiting_job_is_gone_at_once_and_holds_nothing(client: LLMClient, ledger: Ledger) -> None:
    register(ledger)
    job = client.submit("hello", agent_id="a")

    assert job.cancel() == "cancelled"

    assert ended(job, timeout_s=0.5) is State.CANCELLED
    stats = client.get_stats()
    assert (stats["tokens_used"], stats["tokens_held"]) == (0, 0)


@pytest.mark.parametrize("cancelled", [READS_LONG, HANGS], ids=["listens", "hangs"])
def test_of_two_slots_only_the_cancelled_jobs_is_freed(
    client: LLMClient, start_workers: StartWorkers, cancelled: str
) -> None:
    start_workers("inst0", env=TWO_SLOTS)
    stays = client.submit("[[mock tokens=200 tps=100]]", agent_id="a", max_tokens=200)
    goes = client.submit(cancelled, agent_id="b")
    eventually(lambda: running(stays) and running(goes))

    goes.cancel()

    assert ended(goes) is State.CANCELLED
    record = stays.result(timeout=10)
    assert (len(record.text.split()), record.attempt) == (200, 1)
