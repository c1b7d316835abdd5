"""A worker whose wall clock is suddenly another one: nobody's times come from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger import keys
from ledger.redis_client import Ledger
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.torture.clock import Clock

DAY_S = 86_400


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S], ids=["ahead", "back"])
def test_a_job_goes_on_as_if_nothing_had_happened_when_its_workers_clock_jumps(
    client: LLMClient, ledger: Ledger, start_workers: StartWorkers, tmp_path: Path, jump_s: int
) -> None:
    clock = Clock(tmp_path)
    if not clock.jumps:
        pytest.skip("there is no C compiler, or this is no Linux")
    # Given a worker in the midst of a job, and a job behind it
    worker = start_workers("inst0", env=clock.env)[0]
    limits = {"timeout_s": 60, "first_token_timeout_s": 20, "token_timeout_s": 20}
    job = client.submit("[[mock tokens=400 tps=100]]", agent_id="a", max_tokens=400, **limits)
    behind = client.submit("hello", agent_id="a", queue_timeout_s=60, **limits)
    chunks = job.stream(timeout_s=20)
    next(chunks)
    # When
    clock.set(jump_s)
    # Then the job comes to its end in its first attempt
    assert sum(chunk.tokens for chunk in chunks) == 399
    record = job.result(timeout=5)
    assert (record.attempt, record.usage.completion_tokens) == (1, 400)
    assert 3000 < record.timings.total_ms < 30_000
    # And so does the next, by the same worker, whose lease and sign of life are by Redis' time
    assert behind.result(timeout=10).attempt == 1
    seconds, _ = ledger.redis.time()
    heard_ms = ledger.redis.zscore(keys.SEEN, "inst0")
    assert abs(heard_ms / 1000 - seconds) < 10
    # And the clock has really jumped: the log is dated by it
    jumped = datetime.now(UTC).astimezone() + timedelta(seconds=jump_s)
    assert f"\n[{jumped:%Y-%m-%d}" in worker.log
