"""Jobs that fail: which are tried again, how often, and what is said of those that are dead."""

from __future__ import annotations

import pytest

from ledger.messages import State
from ledger.settings import load_settings
from producer import JobDead, LLMClient
from tests.support.numbered import numbers


def test_poison_leaves_room_for_its_neighbours_and_is_dead_after_its_last_attempt(
    client: LLMClient,
) -> None:
    # Given a job that kills every process, before others
    poison = client.submit("[[mock tokens=5 crash_at=1 crashes=99]]", agent_id="a", tenant="acme")
    neighbours = [client.submit("hello", agent_id="b") for _ in range(5)]

    # Then
    with pytest.raises(JobDead, match="after 3 attempts; the last one: its process was lost") as it:
        poison.result(timeout=30)
    assert [one["attempt"] for one in it.value.history] == [1, 2, 3]
    assert {one["instance"] for one in it.value.history} == {"inst0"}
    ended = poison.outcome().timings.total_ms
    assert all(one.result(timeout=20).timings.total_ms < ended for one in neighbours)
    assert client.get_stats()["tokens_held"] == 0


def test_an_error_that_may_pass_is_followed_by_another_attempt(client: LLMClient) -> None:
    result = client.submit("[[mock tokens=9 error_at=4 errors=1]]", agent_id="a").result(20)

    assert numbers(result.text) == list(range(9))
    assert result.attempt == 2


def test_an_error_that_does_not_pass_ends_dead_with_the_reason_of_each_attempt(
    redis_url: str,
) -> None:
    with LLMClient(load_settings(env={}, redis_url=redis_url, max_attempts=2)) as client:
        job = client.submit("[[mock tokens=9 error_at=4 errors=99]]", agent_id="a")

        with pytest.raises(JobDead) as dead:
            job.result(timeout=20)
        reasons = [one["reason"] for one in dead.value.history]
        assert reasons == ["The mock was told to fail here"] * 2
        assert len(job.outcome().text.split()) == 4
        assert client.get_stats()["tokens_held"] == 0


def test_an_error_that_is_final_ends_the_job_at_once(client: LLMClient) -> None:
    record = client.submit("[[mock tokens=9 error_at=4]]", agent_id="a").outcome(timeout=20)

    assert (record.state, record.attempt) == (State.FAILED, 1)
