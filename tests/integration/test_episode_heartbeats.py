"""A heartbeat tells how open episodes stand."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from ledger.settings import Settings, load_settings
from producer import LLMClient
from tests.conftest import StartWorkers
from tests.support.gates import begun
from tests.support.short_episodes import CAP_S, DRIPS, SMALL, over
from tests.support.waiting import eventually
from tests.support.workers import Worker


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Episodes of a second, of three with progress."""
    return load_settings(env=SMALL, redis_url=redis_url)


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
