"""What a worker costs between jobs: a queue of instant jobs, drained."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.goal import ratio_at_most
from benchmarks.plain_app import PUBLISH
from benchmarks.rounds import interleave
from benchmarks.row import Row
from benchmarks.stage import PLAIN, PROMPT, WORKED, Stage, rest
from ledger import keys
from ledger.stream import is_end

BLOCK_S = 1.5  # the job in front runs while the others are enqueued behind it
LEAST_S = 0.02  # of it left when all are enqueued
WAIT_S = 60


def measure(stage: Stage) -> list[Row]:
    """Milliseconds per job, from the end of the job in front to the end of the last one.

    Ours emits one chunk, an end and a result each; the baseline publishes once.
    """
    stage.workers()
    rounds = interleave(stage.scale.rounds, _ours(stage), _plain(stage))
    return [Row("time per instant job, queue drained", "ms", *rounds, ratio_at_most(1.1))]


def _ours(stage: Stage) -> Callable[[], float]:
    client, broker = stage.client(WORKED), stage.bare(WORKED)
    instant = {"prompt": PROMPT, "agent_id": "a", "max_tokens": 1}
    count = stage.scale.drained_jobs

    def drain() -> float:
        rest(broker)
        first = client.submit(f"[[mock tokens=1 first_ms={BLOCK_S * 1000}]]", agent_id="a")
        with broker.pubsub(ignore_subscribe_messages=True) as announcements:
            announcements.subscribe(keys.stream(first.id))
            jobs = client.submit_many([instant] * count)
            announcements.subscribe(keys.stream(jobs[-1].id))
            start, end = _await_two(announcements, is_end)
        return (end - start) * 1000 / count

    return drain


def _plain(stage: Stage) -> Callable[[], float]:
    broker = stage.bare(PLAIN)
    task: Any = stage.plain.tasks[PUBLISH]
    count = stage.scale.drained_jobs

    def drain() -> float:
        rest(broker)
        channel = uuid.uuid4().hex
        with broker.pubsub(ignore_subscribe_messages=True) as announcements:
            announcements.subscribe(channel)
            task.apply_async((PROMPT, channel, BLOCK_S))
            for _ in range(count - 1):
                task.apply_async((PROMPT, "nobody"))
            task.apply_async((PROMPT, channel))
            start, end = _await_two(announcements, lambda _: True)
        return (end - start) * 1000 / count

    return drain


def _await_two(announcements: Any, counts: Callable[[str], bool]) -> tuple[float, float]:
    """When the first and the second announcement that ``counts`` came.

    Raises:
        RuntimeError: the first was there already: the queue was not full when the clock started.
    """
    asked = time.perf_counter()
    came: list[float] = []
    while len(came) < 2:
        message = announcements.get_message(timeout=WAIT_S)
        if message is not None and counts(str(message["data"])):
            came.append(time.perf_counter())
        if time.perf_counter() - asked > WAIT_S:
            raise RuntimeError(f"the queue was not drained within {WAIT_S} s")
    if came[0] - asked < LEAST_S:
        raise RuntimeError("the jobs were enqueued too slowly: the worker had begun on them")
    return came[0], came[1]
