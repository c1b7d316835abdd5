"""What takes too long is ended, and says which limit it passed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from celery import Celery

from ledger import status
from ledger.messages import State
from ledger.redis_client import Ledger
from ledger.settings import load_settings
from producer import DeadlineExceeded, Job, JobExpired, LLMClient
from tests.support import servers
from tests.support.gates import begun
from tests.support.waiting import eventually
from tests.support.workers import working

HANGS = "[[mock tokens=9 tps=100 hang_at=3]]"


def ended(job: Job) -> DeadlineExceeded:
    with pytest.raises(DeadlineExceeded) as passed:
        job.result(timeout=15)
    return passed.value


def test_a_job_that_drips_past_its_time_fails_with_its_text_so_far(client: LLMClient) -> None:
    job = client.submit("[[mock tokens=500 tps=50]]", agent_id="a", timeout_s=0.5)

    error = ended(job)

    assert (error.limit, error.timeout_s, error.scope) == ("timeout_s", 0.5, "job")
    assert 5 < len(job.outcome().text.split()) < 100


def test_a_job_that_hangs_past_its_time_is_killed_and_the_next_one_runs(client: LLMClient) -> None:
    hung = client.submit(HANGS, agent_id="a", timeout_s=0.5)
    after = client.submit("hello", agent_id="b")

    assert ended(hung).limit == "timeout_s"
    assert after.result(timeout=10).text.startswith("Hello")
    assert client.get_stats()["tokens_held"] == 0


def test_a_job_without_a_first_token_in_time_is_killed_and_the_next_one_runs(
    client: LLMClient,
) -> None:
    late = client.submit("[[mock first_ms=60000]]", agent_id="a", first_token_timeout_s=0.3)
    after = client.submit("hello", agent_id="b")

    error = ended(late)

    assert (error.limit, error.timeout_s) == ("first_token_timeout_s", 0.3)
    assert (late.outcome().state, late.outcome().text) == (State.FAILED, "")
    assert after.result(timeout=10).text.startswith("Hello")
    assert client.get_stats()["tokens_held"] == 0


def test_a_job_that_makes_no_further_token_in_time_is_killed_and_keeps_its_text(
    client: LLMClient,
) -> None:
    hung = client.submit(HANGS, agent_id="a", token_timeout_s=0.3, first_token_timeout_s=60)

    error = ended(hung)

    assert (error.limit, error.timeout_s) == ("token_timeout_s", 0.3)
    assert hung.outcome().state is State.FAILED
    assert len(hung.outcome().text.split()) == 3


def test_a_job_may_take_long_as_long_as_its_tokens_come_in_time(redis_url: str) -> None:
    settings = load_settings(env={}, redis_url=redis_url, token_timeout_s=1.2)
    with LLMClient(settings) as client:
        result = client.complete("[[mock tokens=8 tps=3]]", agent_id="a")

        assert len(result.text.split()) == 8
        assert result.timings.total_ms > 2000
        assert ended(client.submit(HANGS, agent_id="a")).limit == "token_timeout_s"


def test_a_job_that_waited_for_too_long_expires_when_its_turn_comes(
    client: LLMClient, redis_url: str
) -> None:
    # Given a worker that is busy, and a job that waits past its limit
    busy = client.submit("[[mock tokens=5000 tps=50]]", agent_id="a")
    begun(busy)
    late = client.submit("hello", agent_id="a", queue_timeout_s=0.2)
    past(redis_url, late, 0.2)

    # When its turn comes
    busy.cancel()

    # Then
    error = ended(late)
    assert isinstance(error, JobExpired)
    assert (error.limit, error.timeout_s) == ("queue_timeout_s", 0.2)
    record = late.outcome()
    assert (record.state, record.text, record.usage.total_tokens) == (State.EXPIRED, "", 0)
    with pytest.raises(DeadlineExceeded):
        list(late.stream(timeout_s=5))
    app = Celery(broker=redis_url, backend=f"workers.result_backend:LedgerBackend+{redis_url}")
    assert app.AsyncResult(late.id).state == "FAILURE"
    busy.outcome(timeout=10)
    assert client.get_stats()["tokens_held"] == 0


def past(redis_url: str, job: Job, seconds: float) -> None:
    """Returns when the job is older than that, by Redis' clock."""
    ledger = Ledger(redis_url)

    def is_past() -> bool:
        entry = ledger.run(status.read_job(job.id))
        assert entry is not None
        return entry.facts.now_ms - entry.facts.submitted_ms > seconds * 1000

    eventually(is_past)
    ledger.close()


def test_an_outage_of_redis_does_not_count_between_two_tokens(tmp_path: Path) -> None:
    # Given a job that makes a token every 0.2 s and may be silent for 1 s
    with (
        servers.server(servers.embedded(), tmp_path) as (url, process),
        working(url, tmp_path, "inst0"),
        LLMClient(load_settings(env={}, redis_url=url)) as client,
    ):
        job = client.submit("[[mock tokens=20 tps=5]]", agent_id="a", token_timeout_s=1)
        begun(job)

        # When Redis is away for longer than that
        os.kill(process.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            eventually(lambda: time.monotonic() - stopped > 2.5)
        finally:
            os.kill(process.pid, signal.SIGCONT)

        # Then
        result = job.result(timeout=20)
        assert (len(result.text.split()), result.attempt) == (20, 1)
