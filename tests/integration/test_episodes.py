"""Episodes end in time: progress moves the end on, to the cap; a heartbeat tells how they stand."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from ledger.messages import State
from ledger.settings import Settings, load_settings
from producer import DeadlineExceeded, Episode, EpisodeOver, InvalidRequest, Job, LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import begun
from tests.support.waiting import eventually
from tests.support.workers import Worker

BASE_S, CAP_S = 1, 3
SMALL = {
    "APEX_EPISODE_TIMEOUT_S": str(BASE_S),
    "APEX_EPISODE_TIMEOUT_MAX_S": str(CAP_S),
    "APEX_PROGRESS_EXTEND_S": "0.5",
    "APEX_HEARTBEAT_S": "0.2",
}
DRIPS = "[[mock tokens=2000 tps=20]]"


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Episodes of a second, of three with progress."""
    return load_settings(env=SMALL, redis_url=redis_url)


def ended(job: Job) -> DeadlineExceeded:
    with pytest.raises(DeadlineExceeded) as passed:
        job.result(timeout=15)
    return passed.value


def over(episode: Episode) -> None:
    """Returns when the episode is past its deadline."""
    eventually(lambda: episode.get_stats()["time_remaining_s"] == 0)


# How long it lives


def test_an_episode_whose_job_makes_tokens_lives_past_its_base_and_dies_at_the_cap(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env=SMALL)
    with client.episode("night-1") as episode:
        job = episode.submit(DRIPS, agent_id="a", max_tokens=2000)

        error = ended(job)

        assert (error.limit, error.scope, error.timeout_s) == ("episode", "episode:night-1", CAP_S)
        record = job.outcome()
        assert record.state is State.FAILED
        assert len(record.text.split()) > 20 * BASE_S  # more than the base has room for
        with pytest.raises(EpisodeOver, match="night-1"):
            episode.submit("hello", agent_id="a")


def test_an_episode_without_progress_dies_at_its_base_and_takes_a_hung_job_with_it(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env=SMALL)
    with client.episode("night-1") as episode:
        hung = episode.submit("[[mock first_ms=60000]]", agent_id="a")
        after = client.submit("hello", agent_id="a")  # of no episode

        error = ended(hung)

        assert (error.limit, error.timeout_s) == ("episode", BASE_S)
        assert "Episode night-1 is past its deadline, 1 s after it was opened" in str(error)
        assert after.result(timeout=10).text.startswith("Hello")
        assert episode.get_stats()["tokens_held"] == 0


def test_a_job_that_waits_longer_than_its_episode_lives_ends_before_a_token_is_made(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0", env=SMALL)
    busy = client.submit(DRIPS, agent_id="a", max_tokens=2000)
    begun(busy)
    with client.episode("night:1%") as episode:  # an id that a key has to escape
        late = episode.submit("hello", agent_id="a")
        over(episode)

        busy.cancel()

        assert ended(late).scope == "episode:night:1%"
        record = late.outcome()
        assert (record.state, record.text) == (State.FAILED, "")
        assert record.usage.total_tokens == 0


def test_an_episode_past_its_deadline_takes_no_more_jobs(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    start_workers("inst0")
    with client.episode("short", timeout_s=0.001) as episode:
        over(episode)
        with pytest.raises(EpisodeOver, match="short"):
            episode.submit("hello", agent_id="a")
        with pytest.raises(EpisodeOver, match="short"):
            episode.progress("tests_run")


def test_progress_near_the_deadline_moves_it_never_past_the_cap(redis_url: str) -> None:
    settings = load_settings(
        env={},
        redis_url=redis_url,
        episode_timeout_s=60,
        progress_extend_s=120,
        episode_timeout_max_s=1000,
    )
    with LLMClient(settings) as client:
        near = client.episode("near")  # 60 s are left, less than an extension
        assert near.progress("file_written") == pytest.approx(120, abs=2)
        assert near.progress("tests_run") == pytest.approx(120, abs=2)
        capped = client.episode("capped", timeout_s=950)
        assert capped.progress("file_written") == pytest.approx(950, abs=2)  # not near yet
    with LLMClient(settings.model_copy(update={"progress_extend_s": 2000})) as eager:
        assert eager.episode("capped").progress("tests_run") == pytest.approx(1000, abs=2)
        assert eager.episode("capped").progress("tests_run") == pytest.approx(1000, abs=2)


@pytest.mark.parametrize("kind", ["test_run", "tick", ""])
def test_what_is_no_progress_is_refused(client: LLMClient, kind: str) -> None:
    episode = client.episode("night-1")

    with pytest.raises(InvalidRequest, match="Known: tests_discovered, tests_run"):
        episode.progress(kind)


# The heartbeat


def heartbeats(worker: Worker) -> list[dict[str, Any]]:
    """The lines of JSON in a worker's output; each must be valid by itself."""
    return [json.loads(line) for line in worker.log.splitlines()[:-1] if line.startswith("{")]


def of_episode(
    worker: Worker, episode_id: str, which: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The first line on an episode that is such; nothing if there is none."""
    lines = (one for one in heartbeats(worker) if one["episode_id"] == episode_id and which(one))
    return next(lines, {})


def test_a_worker_logs_a_line_of_json_on_each_open_episode(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given one episode with a job that runs, and one of which its caller has reported progress
    (worker,) = start_workers("inst0", env=SMALL)
    with (
        client.episode("runs", token_budget=20_000) as runs,
        client.episode("reports", timeout_s=60) as reports,
    ):
        job = runs.submit(DRIPS, agent_id="a", max_tokens=2000)
        begun(job)
        reports.progress("tests_run", passed=12)

        # When
        running = eventually(lambda: of_episode(worker, "runs", lambda one: one["tokens_used"] > 2))
        reported = eventually(
            lambda: of_episode(worker, "reports", lambda one: one["last_progress"])
        )

        # Then
        assert running["event"] == "episode_heartbeat"
        assert (running["tenant"], running["token_budget"]) == ("default", 20_000)
        assert running["budget_low"] is False
        assert running["last_progress"]["kind"] == "tokens"
        assert 0 < running["time_remaining"] <= CAP_S
        assert datetime.fromisoformat(running["time"]).tzinfo is not None
        assert (reported["tokens_used"], reported["token_budget"]) == (0, None)
        assert reported["last_progress"]["kind"] == "tests_run"
        assert reported["last_progress"]["facts"] == {"passed": 12}
        assert reported["last_progress"]["ago_s"] >= 0


def test_an_episode_that_is_over_has_no_heartbeat(
    client: LLMClient, redis_url: str, start_workers: StartWorkers
) -> None:
    (worker,) = start_workers("inst0", env=SMALL)
    gone, open_still = client.episode("gone"), client.episode("open", timeout_s=60)
    eventually(lambda: heartbeats(worker))
    over(gone)

    said = len(heartbeats(worker))
    eventually(lambda: len(heartbeats(worker)) >= said + 4)

    assert {one["episode_id"] for one in heartbeats(worker)[said + 2 :]} == {open_still.id}


def test_one_worker_has_the_heartbeat_and_another_takes_it_over(
    client: LLMClient, start_workers: StartWorkers
) -> None:
    # Given two workers, of which one logs
    workers = [*start_workers("inst0", env=SMALL), *start_workers("inst1", env=SMALL)]
    client.episode("night-1", timeout_s=60)
    elected = eventually(lambda: [one for one in workers if len(heartbeats(one)) > 2])
    assert len(elected) == 1
    (other,) = [one for one in workers if one not in elected]
    assert heartbeats(other) == []

    # When that one is lost
    os.kill(elected[0].process.pid, signal.SIGKILL)

    # Then
    assert eventually(lambda: heartbeats(other))
