"""A budget's limit holds whoever races for it, and what is held comes back."""

from __future__ import annotations

from typing import Any

import pytest

from budgets import episode_level, hold_for, levels_of
from ledger import jobs, keys
from ledger.levels import Level
from ledger.messages import Usage, parse_request
from ledger.redis_client import Ledger
from ledger.settings import Settings, load_settings
from producer import BudgetExceeded, Episode, IdempotencyConflict, JobCancelled, LLMClient
from tests.conftest import StartWorkers
from tests.support import attempts
from tests.support.gates import closed_gate
from tests.support.racers import race, watching
from tests.support.registering import register
from tests.support.spending import asked

ROOM, RACERS, EACH = 137, 8, 125


def tokens_of(episode: Episode) -> dict[str, int]:
    """What an episode's stats say of tokens alone."""
    stats = episode.get_stats()
    return {name: stats[name] for name in ("tokens_used", "tokens_held", "budget")}


def hold_of(**changes: Any) -> int:
    return hold_for(parse_request(**asked(**changes)))


def test_eight_processes_race_1000_submits_for_room_for_137(
    client: LLMClient, settings: Settings, redis_url: str, start_workers: StartWorkers
) -> None:
    # Given an instance whose worker is away for a moment
    (worker,) = start_workers("inst0")
    worker.stop()
    limit = ROOM * hold_of() + hold_of() - 1
    level = episode_level("default", "race", settings)
    with client.episode("race", token_budget=limit) as episode:
        # When
        shares = [[asked(episode_id="race")] * EACH] * RACERS
        with watching(redis_url, level.key) as watched:
            came = race(settings, shares)
        # Then
        refused = [answer for answer in came if answer == BudgetExceeded.code]
        accepted = sorted(set(came) - {BudgetExceeded.code})
        assert (len(accepted), len(refused), len(came)) == (ROOM, RACERS * EACH - ROOM, 1000)
        assert tokens_of(episode) == {
            "tokens_used": 0,
            "tokens_held": ROOM * hold_of(),
            "budget": limit,
        }
        assert watched.looks > 100
        assert watched.most == ROOM * hold_of()

        # When
        with watching(redis_url, level.key) as watched:
            start_workers("inst0")
            results = [client.job(job_id).result(timeout=30) for job_id in accepted]
        # Then
        used = sum(result.usage.total_tokens for result in results)
        assert tokens_of(episode) == {"tokens_used": used, "tokens_held": 0, "budget": limit}
        assert client.get_stats() == {"tokens_used": used, "tokens_held": 0, "budget": None}
        assert used > 0
        assert watched.most <= limit


def test_one_idempotency_key_from_eight_processes_at_once_is_one_job(
    client: LLMClient, settings: Settings, ledger: Ledger
) -> None:
    register(ledger)
    same = [asked(idempotency_key="the one")] * 5

    came = race(settings, [same] * RACERS)

    assert len(came) == RACERS * 5
    assert len(set(came)) == 1
    assert client.get_stats()["tokens_held"] == hold_of()
    assert client.job(came[0]).status().state == "queued"
    waiting = ledger.redis.zcard(keys.waiting("inst0")) + ledger.redis.zcard(keys.woken("inst0"))
    assert waiting == 1


def test_one_idempotency_key_with_two_requests_is_a_conflict_that_names_the_job(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    job = client.submit(**asked(idempotency_key="k"))

    for other in ({"prompt": "bye"}, {"max_tokens": 17}, {"agent_id": "b"}, {"seed": 1}):
        with pytest.raises(IdempotencyConflict, match=f"{job.id}.*use a new key") as conflict:
            client.submit(**asked(idempotency_key="k", **other))
        assert conflict.value.job_id == job.id
    elsewhere = client.submit(**asked(idempotency_key="k", tenant="another"))

    assert elsewhere.id != job.id
    assert client.get_stats()["tokens_held"] == hold_of()


def test_what_a_waiting_job_holds_is_released_when_it_is_cancelled(
    client: LLMClient, ledger: Ledger
) -> None:
    register(ledger)
    with client.episode("e", token_budget=hold_of()) as episode:
        job = episode.submit(**asked(session_id="s"))
        with pytest.raises(BudgetExceeded):
            episode.submit(**asked())

        assert job.cancel() == "cancelled"
        assert job.cancel() == "cancelled"

        assert tokens_of(episode) == {"tokens_used": 0, "tokens_held": 0, "budget": hold_of()}
        assert client.get_stats()["tokens_held"] == 0
        episode.submit(**asked())
    with pytest.raises(JobCancelled):
        job.result(timeout=5)


def test_what_a_running_job_holds_is_released_when_it_is_cancelled(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    with client.episode("e", token_budget=100_000) as episode:
        job = closed_gate(client, episode_id="e")
        assert episode.get_stats()["tokens_held"] > 60_000

        job.cancel()

        made = job.outcome(timeout=10).usage
        assert made.completion_tokens >= 1
        assert episode.get_stats()["tokens_used"] == made.total_tokens
        assert episode.get_stats()["tokens_held"] == 0


LIMITED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"tenant": {"*": {"tokens": 300}}}, {}, "tenant:default"),
    ({"tenant": {"acme": {"tokens": 300}}}, {"tenant": "acme"}, "tenant:acme"),
    ({"agent": {"*": {"tokens": 300}}}, {}, "agent:a"),
    ({"agent": {"a": {"tokens": 300}}}, {}, "agent:a"),
    ({"role": {"Coder": {"tokens": 300}}}, {"agent_id": "coder"}, "role:Coder"),
    ({"session": {"*": {"tokens": 300}}}, {"session_id": "s"}, "session:s"),
    ({"episode": {"*": {"tokens": 300}}}, {"episode_id": "e"}, "episode:e"),
    (
        {"tenant": {"*": {"tokens": 10_000}}, "agent": {"a": {"tokens": 300}}},
        {"session_id": "s", "episode_id": "e"},
        "agent:a",
    ),
]


@pytest.mark.parametrize(("tables", "changes", "scope"), LIMITED, ids=[one[2] for one in LIMITED])
def test_a_limit_in_the_settings_holds_and_the_refusal_says_the_sums(
    redis_url: str, ledger: Ledger, tables: dict[str, Any], changes: dict[str, Any], scope: str
) -> None:
    # Given
    register(ledger)
    hold = hold_of(**changes)
    settings = load_settings(env={}, redis_url=redis_url, budgets=tables)
    with LLMClient(settings) as client:
        for _ in range(300 // hold):
            client.submit(**asked(**changes))
        levels = levels_of(parse_request(**asked(**changes)), settings)
        before = [ledger.redis.hgetall(level.key) for level in levels]

        # When
        with pytest.raises(BudgetExceeded) as denied:
            client.submit(**asked(**changes))

        # Then
        error = denied.value
        assert (error.scope, error.limit, error.used) == (scope, 300, 0)
        assert (error.held, error.requested) == (300 // hold * hold, hold)
        held = 300 // hold * hold
        sums = f"{scope} has used 0 and holds {held} of 300 tokens; {hold} more do not fit."
        assert str(error).startswith(sums)
        assert [ledger.redis.hgetall(level.key) for level in levels] == before
        client.submit(**asked(agent_id="b", tenant="b"))


class Running:
    """A job in the hands of this process, with an episode's budget of 1,000 tokens."""

    def __init__(self, client: LLMClient, ledger: Ledger, settings: Settings) -> None:
        register(ledger)
        client.episode("e", token_budget=1000)
        self.job = client.submit(**asked(episode_id="e"))
        self.levels: list[Level] = levels_of(parse_request(**asked(episode_id="e")), settings)
        self.claim, self._ledger = attempts.claimed(ledger, self.job.id), ledger

    def hold(self, wanted: int, least: int, fence: int | None = None) -> int | None:
        return self._ledger.run(
            jobs.hold(
                self.job.id,
                fence=self.claim.fence if fence is None else fence,
                wanted=wanted,
                least=least,
                levels=self.levels,
            )
        )

    @property
    def held(self) -> set[int]:
        """What is held at the job's levels and by itself: one number if the books agree."""
        rows = [self._ledger.redis.hget(level.key, "held") for level in self.levels]
        return {
            int(held) for held in [*rows, self._ledger.redis.hget(keys.job(self.job.id), "held")]
        }


@pytest.fixture
def running(client: LLMClient, ledger: Ledger, settings: Settings) -> Running:
    return Running(client, ledger, settings)


def test_a_prompt_that_is_longer_than_was_held_is_topped_up(running: Running) -> None:
    assert running.hold(wanted=500, least=490) == 500
    assert running.held == {500}

    assert running.hold(wanted=400, least=1) == 400
    assert running.held == {400}


def test_a_top_up_ends_where_the_tightest_budget_ends(running: Running, client: LLMClient) -> None:
    other = client.submit(**asked(episode_id="e")).id
    assert client.job(other).status().state == "queued"

    assert running.hold(wanted=5000, least=600) == 1000 - hold_of()
    assert client.episode("e").get_stats()["tokens_held"] == 1000


def test_a_top_up_without_room_for_the_least_is_denied_and_changes_nothing(
    running: Running,
) -> None:
    with pytest.raises(BudgetExceeded) as denied:
        running.hold(wanted=5000, least=1001)

    error = denied.value
    assert (error.scope, error.limit, error.used) == ("episode:e", 1000, 0)
    assert (error.held, error.requested) == (0, 1001)  # by other jobs, and by this one in all
    assert running.held == {hold_of()}
    assert running.hold(wanted=1000, least=1000) == 1000


def test_a_top_up_under_an_old_fence_changes_nothing(running: Running, ledger: Ledger) -> None:
    assert running.hold(wanted=500, least=1, fence=running.claim.fence - 1) is None
    assert running.held == {hold_of()}

    # Given the job has ended
    usage = Usage(prompt_tokens=1, completion_tokens=0)
    assert ledger.run(attempts.finish(running.claim, running.levels, usage=usage))
    assert running.hold(wanted=500, least=1) is None
    assert running.held == {0}
