"""Which time limit a job has passed, and what that is called."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from budgets import deadlines
from ledger.errors import DeadlineExceeded, JobExpired, from_record, to_record
from ledger.limits import Limits
from ledger.messages import Request
from tests.support.sentences import is_one_sentence

CLAIMED = 1_000_000
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Running:
    """A job that was claimed at ``CLAIMED``; all times in ms."""

    progress_ms: int = CLAIMED
    deadline_ms: int = CLAIMED + 180_000
    episode_deadline_ms: int = 0
    stop: str = ""
    limits: Limits = NO_LIMITS
    claimed_ms: int = CLAIMED


def overdue(job: Running, after_s: float, heard_since_s: float = 0) -> str:
    """What the guardian finds that many seconds after the claim."""
    return deadlines.overdue(
        job,
        int(CLAIMED + after_s * 1000),
        heard_since_ms=int(CLAIMED + heard_since_s * 1000),
    )


def begun(limits: Limits, last_token_s: float = 1.0) -> Running:
    return Running(progress_ms=int(CLAIMED + last_token_s * 1000), limits=limits)


def test_without_limits_a_job_may_be_silent_until_its_run_time_is_over() -> None:
    assert overdue(Running(), 179) == ""
    assert overdue(Running(), 181) == deadlines.RUN


def test_the_first_token_has_its_own_limit() -> None:
    job = Running(limits=Limits(first_token_s=5, token_s=1))

    assert overdue(job, 4.9) == ""
    assert overdue(job, 5.1) == deadlines.FIRST_TOKEN


def test_after_the_first_token_the_limit_between_tokens_counts() -> None:
    job = begun(Limits(first_token_s=1, token_s=5), last_token_s=3)

    assert overdue(job, 7.9) == ""
    assert overdue(job, 8.1) == deadlines.TOKEN


def test_a_job_that_still_makes_tokens_is_left_to_look_for_itself() -> None:
    job = Running(progress_ms=CLAIMED + 181_000, stop="cancel", episode_deadline_ms=CLAIMED + 1)

    assert overdue(job, 181.5) == ""
    assert overdue(job, 182.5) == "cancel"


def test_a_silent_job_ends_with_its_episode() -> None:
    job = Running(episode_deadline_ms=CLAIMED + 30_000)

    assert overdue(job, 29) == ""
    assert overdue(job, 31) == deadlines.EPISODE


def test_an_outage_of_redis_is_not_idle_time() -> None:
    job = begun(Limits(token_s=5))

    assert overdue(job, 60, heard_since_s=60) == ""
    assert overdue(job, 64.9, heard_since_s=60) == ""
    assert overdue(job, 65.1, heard_since_s=60) == deadlines.TOKEN


def test_after_an_outage_a_job_past_its_run_time_has_a_moment_to_say_so_itself() -> None:
    assert overdue(Running(), 300, heard_since_s=300) == ""
    assert overdue(Running(), 301.1, heard_since_s=300) == deadlines.RUN


@pytest.mark.parametrize("limit", [deadlines.FIRST_TOKEN, deadlines.TOKEN, deadlines.RUN])
def test_an_error_says_the_limit_its_seconds_and_what_to_raise(limit: str) -> None:
    error = deadlines.passed(limit, Limits(first_token_s=1.5, token_s=2.5), timeout_s=3.5)

    seconds = {deadlines.FIRST_TOKEN: 1.5, deadlines.TOKEN: 2.5, deadlines.RUN: 3.5}[limit]
    assert (error.limit, error.timeout_s, error.scope) == (limit, seconds, "job")
    assert f"{seconds} s; raise {limit}" in str(error)
    assert is_one_sentence(error)


def test_the_error_of_an_episode_says_how_long_it_lasted() -> None:
    error = deadlines.episode_ended("night-1", opened_ms=1000, deadline_ms=31_500)

    assert (error.limit, error.timeout_s, error.scope) == ("episode", 30.5, "episode:night-1")
    assert "Episode night-1 is past its deadline, 30.5 s after it was opened" in str(error)
    assert "APEX_EPISODE_TIMEOUT_S" in str(error)


def test_only_the_first_claim_has_a_limit_in_the_queue() -> None:
    assert deadlines.waited(None, attempts=1, queued_ms=10**9) is None
    assert deadlines.waited(5, attempts=1, queued_ms=5000) is None
    assert deadlines.waited(5, attempts=2, queued_ms=5001) is None
    late = deadlines.waited(5, attempts=1, queued_ms=5001)
    assert isinstance(late, JobExpired)
    assert (late.limit, late.timeout_s) == ("queue_timeout_s", 5)
    assert "its 5 s; raise queue_timeout_s" in str(late)


def test_an_expired_job_is_caught_with_all_others_that_ran_out_of_time() -> None:
    late = deadlines.waited(5, attempts=1, queued_ms=5001)
    assert late is not None

    again = from_record(to_record(late))

    assert isinstance(again, DeadlineExceeded)
    assert (type(again), str(again), again.limit) == (JobExpired, str(late), "queue_timeout_s")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"queue_timeout_s": 2.5},
        {"first_token_timeout_s": 0.25},
        {"token_timeout_s": 60},
        {"queue_timeout_s": 1, "first_token_timeout_s": 2, "token_timeout_s": 3},
    ],
)
def test_limits_are_the_same_after_their_way_through_the_ledger(
    options: dict[str, float],
) -> None:
    limits = Limits.of(Request(prompt="hello", agent_id="a", **options))

    assert Limits.unpack(limits.packed()) == limits
    assert (limits.packed() == "") == (not options)


def test_a_limit_below_a_millisecond_is_still_a_limit() -> None:
    assert Limits.unpack(Limits(token_s=0.0001).packed()).token_s == 0.001
