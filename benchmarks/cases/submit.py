"""Submits by one caller, one after another and in bulk, while no worker takes any."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.goal import ratio_at_least
from benchmarks.plain_app import PUBLISH
from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stage import PROMPT, STOPPED, Stage

ROUNDS_OF_BULK = 5  # plain Celery takes seconds for each


def measure_single(stage: Stage) -> list[Row]:
    """``client.submit`` against ``apply_async``, per second."""
    stage.dismiss()
    client, count = stage.client(STOPPED), stage.scale.submits

    def ours() -> float:
        stage.empty(STOPPED)
        return _rate(count, lambda: client.submit(PROMPT, agent_id="a"))

    rounds = interleave(stage.scale.rounds, ours, lambda: _plain(stage, count))
    return [Row("single submits", "1/s", *rounds, ratio_at_least(2))]


def measure_bulk(stage: Stage) -> list[Row]:
    """``client.submit_many`` against as many ``apply_async``, per second."""
    stage.dismiss()
    client, count = stage.client(STOPPED), stage.scale.bulk
    requests = [{"prompt": PROMPT, "agent_id": "a"}] * count

    def ours() -> float:
        stage.empty(STOPPED)
        return count * _rate(1, lambda: client.submit_many(requests))

    many = min(stage.scale.rounds, ROUNDS_OF_BULK)
    rounds = interleave(many, ours, lambda: _plain(stage, count))
    stage.empty(STOPPED)
    return [Row(f"bulk submit of {count:,}", "1/s", *rounds, ratio_at_least(8))]


def _plain(stage: Stage, count: int) -> float:
    stage.empty_plain()
    task = stage.plain.tasks[PUBLISH]
    rate = _rate(count, lambda: task.apply_async((PROMPT, "channel")))
    stage.empty_plain()
    return rate


def _rate(count: int, step: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(count):
        step()
    return count / (time.perf_counter() - start)
