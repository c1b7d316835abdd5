"""Processes that hang or wake up too late: nobody's text is written twice."""

from __future__ import annotations

import json
import os
import signal

import psutil

from ledger import keys
from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.stream import replay
from producer import Job, LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import begun, pid_of
from tests.support.numbered import numbers
from tests.support.waiting import eventually
from tests.support.workers import Worker

TWO_SLOTS = {"APEX_LLM_INSTANCES": json.dumps([{"name": "inst0", "slots": 2}])}
SHORT_LEASE = {"APEX_LEASE_S": "2", "APEX_LLM_INSTANCES": "2"}
LIMIT_S = 1.0


def test_of_two_slots_only_the_process_that_hangs_is_ended(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env=TWO_SLOTS)
    works = client.submit("[[mock tokens=400 tps=100]]", agent_id="a", max_tokens=400)
    hangs = client.submit("[[mock tokens=9 hang_at=3]]", agent_id="b", token_timeout_s=LIMIT_S)
    pids = pid_of(ledger, works), pid_of(ledger, hangs)

    assert hangs.outcome(timeout=15).state is State.FAILED

    assert psutil.pid_exists(pids[0])
    assert not psutil.pid_exists(pids[1])
    record = works.result(timeout=15)
    assert (len(record.text.split()), record.attempt) == (400, 1)


def stop_past_its_lease(ledger: Ledger, worker: Worker, job: Job) -> None:
    """Stops the worker's parent until its job, whose process hangs, was given back."""
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        eventually(lambda: [e for e in replay(ledger, job.id) if e.kind == "requeued"])
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)


def test_a_process_that_hangs_on_a_job_that_was_given_back_is_ended(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    worker, _ = start_workers("inst0", "inst1", env=SHORT_LEASE)
    job = client.submit("[[mock tokens=9 hang_at=3 hangs=1]]", agent_id="a", instance="inst0")
    after = client.submit("hello", agent_id="a", instance="inst0")
    pid = pid_of(ledger, job)

    stop_past_its_lease(ledger, worker, job)

    record = job.result(timeout=20)
    assert (len(record.text.split()), record.attempt) == (9, 2)
    assert after.result(timeout=10).text.startswith("Hello")
    assert not psutil.pid_exists(pid)


def test_a_worker_ends_although_a_process_hangs_on_a_job_that_was_given_back(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    worker, _ = start_workers("inst0", "inst1", env=SHORT_LEASE)
    job = client.submit("[[mock tokens=9 hang_at=3 hangs=1]]", agent_id="a", instance="inst0")
    pid_of(ledger, job)

    stop_past_its_lease(ledger, worker, job)
    worker.stop(timeout_s=15)

    assert job.status().state == "queued"
    start_workers("inst0")
    assert job.result(timeout=10).attempt == 2


def test_a_worker_that_wakes_up_after_its_lease_can_write_nothing_more(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers
) -> None:
    # Given a worker that is stopped in the middle of a job, with its process, and another worker
    worker, _ = start_workers("inst0", "inst1", env=SHORT_LEASE)
    job = client.submit(
        "[[mock tokens=200 tps=100]]", agent_id="a", max_tokens=200, instance="inst0"
    )
    begun(job)
    frozen = [worker.process.pid, pid_of(ledger, job)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    # When its lease ends
    try:
        eventually(lambda: [e.failed for e in replay(ledger, job.id) if e.kind == "requeued"])
        before = list(replay(ledger, job.id))
    finally:
        for pid in reversed(frozen):
            os.kill(pid, signal.SIGCONT)
    # Then what it goes on to make bounces off, and the next attempt goes on from the same text
    record = job.result(timeout=20)
    assert record.attempt == 2
    assert numbers(record.text) == list(range(200))
    assert record.usage.completion_tokens == 200
    events = list(replay(ledger, job.id))
    assert events[: len(before)] == before
    fence = int(ledger.redis.hget(keys.job(job.id), "fence"))
    assert {e.attempt for e in events[len(before) :] if e.kind == "chunk"} == {fence}
    assert client.get_stats() == {
        "tokens_used": record.usage.total_tokens,
        "tokens_held": 0,
        "budget": None,
    }
