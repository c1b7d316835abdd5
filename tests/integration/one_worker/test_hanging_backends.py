"""Backends that hang, or never end: the next job runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import psutil
import pytest

from ledger import keys
from ledger.errors import DeadlineExceeded
from ledger.redis_client import Ledger
from producer import Job, LLMClient
from tests.support.gates import pid_of

log = logging.getLogger(__name__)
LIMIT_S = 1.0


def fields(ledger: Ledger, job: Job) -> Mapping[str, str]:
    found: Mapping[str, str] = ledger.redis.hgetall(keys.job(job.id))
    return found


@pytest.mark.parametrize(
    ("hangs", "limit"),
    [
        ("[[mock tokens=9 hang_at=0]]", "first_token_timeout_s"),
        ("[[mock tokens=9 hang_at=3]]", "token_timeout_s"),
        ("[[mock tokens=9 hang_at=3]]", "timeout_s"),
    ],
    ids=["before a token", "after three", "in its run time"],
)
def test_a_backend_that_hangs_is_gone_soon_after_its_limit_and_the_next_job_runs(
    client: LLMClient, ledger: Ledger, hangs: str, limit: str
) -> None:
    # Given
    hung = client.submit(hangs, agent_id="a", **{limit: LIMIT_S})
    after = client.submit("hello", agent_id="b")
    pid = pid_of(ledger, hung)
    # When
    with pytest.raises(DeadlineExceeded) as passed:
        hung.result(timeout=20)
    # Then
    assert passed.value.limit == limit
    assert not psutil.pid_exists(pid)
    assert after.result(timeout=20).text.startswith("Hello")
    since = fields(ledger, hung)
    idle_ms = int(since["ended"]) - int(since["progress"])
    log.info("%s: gone %d ms after its last sign", limit, idle_ms)
    next_ms = int(fields(ledger, after)["claimed"]) - int(since["ended"])
    log.info("%s: the next job was claimed %d ms later", limit, next_ms)
    assert client.get_stats()["tokens_held"] == 0


def test_an_answer_without_an_end_stops_at_its_tokens(client: LLMClient) -> None:
    endless = client.complete("[[mock tokens=1000000]]", agent_id="a", max_tokens=50)

    assert (len(endless.text.split()), endless.finish_reason) == (50, "length")


def test_an_answer_without_an_end_stops_at_its_run_time(client: LLMClient) -> None:
    job = client.submit(
        "[[mock tokens=1000000 tps=100]]", agent_id="a", max_tokens=900_000, timeout_s=LIMIT_S
    )

    with pytest.raises(DeadlineExceeded):
        job.result(timeout=15)

    assert 10 < job.outcome().usage.completion_tokens < 300
